"""Feature rows from aggregates: pure, float32 (numbers, features) in the order of NAMES."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.numbering import kinds_of
from services.features.definitions import MARK_WINDOWS_DAYS, NAMES

DAY_MS = 86_400_000
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Aggregates = Mapping[str, npt.NDArray[Any]]


def place(keys: I64, asked: I64) -> tuple[I64, npt.NDArray[np.bool_]]:
    """Where each asked key stands in ascending keys, and whether it does; both (n,)."""
    if len(keys) == 0:
        return np.zeros(len(asked), dtype=np.int64), np.zeros(len(asked), dtype=bool)
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return at, keys[at] == asked


def rows(
    numbers: I64,
    as_of_ms: int,
    marks: Aggregates,
    epochs: Aggregates,
    behaviour: Aggregates,
    blocks: Mapping[int, Aggregates],
) -> npt.NDArray[np.float32]:
    """Compute the rows of ascending numbers.

    Args:
        numbers: int64 (n,), ascending keys.
        as_of_ms: the as-of time.
        marks, epochs, behaviour: aggregates with ascending `number`.
        blocks: by block size, aggregates with ascending `block`.
    """
    columns: dict[str, npt.NDArray[Any]] = {}
    columns |= _mark_columns(numbers, as_of_ms, marks)
    columns |= _block_columns(numbers, columns, blocks)
    columns |= _behaviour_columns(numbers, behaviour)
    answered = _aligned(behaviour, numbers, "sum_answered_out", np.nan)
    columns["marks_per_answered_ratio"] = _ratio(columns["marks_30d_count"], answered)
    start = _aligned(epochs, numbers, "start_ms", np.nan)
    columns["tenure_days"] = (as_of_ms - start) / DAY_MS
    columns["epoch"] = _aligned(epochs, numbers, "epoch", 0)
    columns["number_kind"] = kinds_of(numbers)
    result = np.empty((len(numbers), len(NAMES)), dtype=np.float32)
    for i, name in enumerate(NAMES):
        result[:, i] = columns[name]
    return result


def _aligned(table: Aggregates, numbers: I64, name: str, absent: float) -> F64:
    at, found = place(np.asarray(table["number"], dtype=np.int64), numbers)
    column = np.asarray(table[name], dtype=np.float64)
    return np.where(found, column[at] if len(column) else absent, absent)


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> F64:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _mark_columns(numbers: I64, as_of_ms: int, marks: Aggregates) -> dict[str, F64]:
    def count(name: str) -> F64:
        return _aligned(marks, numbers, name, 0)

    def known(name: str) -> F64:
        return _aligned(marks, numbers, name, np.nan)

    total = count("marks")
    first_days = (as_of_ms - known("first_ms")) / DAY_MS
    last_days = (as_of_ms - known("last_ms")) / DAY_MS
    columns = {f"marks_{d}d_count": count(f"marks_{d}d") for d in MARK_WINDOWS_DAYS}
    return columns | {
        "marks_count": total,
        "marks_older_count": total - columns["marks_30d_count"],
        "mark_days_30d_count": count("days_30d"),
        "mark_days_count": count("days"),
        "origins_30d_count": count("origins_30d"),
        "reporters_count": count("reporters"),
        "sources_count": count("sources"),
        "labels_count": count("labels"),
        "decayed_3d_count": count("decayed_3d"),
        "decayed_14d_count": count("decayed_14d"),
        "decayed_60d_count": count("decayed_60d"),
        "last_mark_days": last_days,
        "first_mark_days": first_days,
        "mark_gap_days": np.where(
            total > 1, (first_days - last_days) / np.maximum(total - 1, 1), np.nan
        ),
        "call_proof_ratio": known("call_proof"),
        "same_area_ratio": known("same_area"),
    }


def _block_columns(
    numbers: I64, own: Mapping[str, npt.NDArray[Any]], blocks: Mapping[int, Aggregates]
) -> dict[str, F64]:
    def others(size: int, name: str, own_count: npt.NDArray[Any]) -> F64:
        keys = np.asarray(blocks[size]["block"], dtype=np.int64)
        at, found = place(keys, numbers // size)
        column = np.asarray(blocks[size][name], dtype=np.float64)
        total = np.where(found, column[at] if len(column) else 0.0, 0.0)
        return np.maximum(total - own_count, 0.0)

    recent = np.asarray(own["marks_30d_count"], dtype=np.float64)
    return {
        "block_10000_marks_30d_count": others(10_000, "marks_30d", recent),
        "block_10000_numbers_30d_count": others(10_000, "numbers_30d", (recent > 0).astype(float)),
        "block_10000_marks_7d_count": others(10_000, "marks_7d", own["marks_7d_count"]),
        "block_10000_older_count": others(10_000, "older", own["marks_older_count"]),
        "block_100_marks_30d_count": others(100, "marks_30d", recent),
    }


def _behaviour_columns(numbers: I64, table: Aggregates) -> dict[str, F64]:
    def known(name: str) -> F64:
        return _aligned(table, numbers, name, np.nan)

    days, out = known("active_days"), known("sum_calls_out")
    answered, received = known("sum_answered_out"), known("sum_calls_in")
    return {
        "active_days": days,
        "calls_out_per_day": _ratio(out, days),
        "calls_out_max": known("calls_out_max"),
        "answered_ratio": _ratio(answered, out),
        "callees_per_call_ratio": _ratio(known("sum_distinct_callees"), out),
        "ring_only_ratio": _ratio(known("sum_ring_only_out"), out),
        "short_ratio": _ratio(known("sum_short_calls_out"), answered),
        "talk_per_answered_s": _ratio(known("sum_talk_s"), answered),
        "in_out_ratio": _ratio(received, received + out),
        "callback_ratio": _ratio(known("sum_callbacks_in"), out),
        "night_ratio": _ratio(known("sum_night_calls_out"), out),
        "calls_per_callee_max": known("per_callee"),
        "calls_per_minute_max": known("per_minute"),
        "callers_share_callee_max": known("share_callee"),
        "areas_per_day": _ratio(known("sum_distinct_areas"), days),
        "sequential_ratio": known("sequential"),
        "devices_max": known("devices"),
        "cells_per_day": _ratio(known("sum_cell_count"), days),
        "intl_ingress_ratio": _ratio(known("sum_intl_ingress_calls"), out),
        "auth_failed_ratio": _ratio(known("sum_auth_failed_calls"), out),
        "after_refusal_ratio": _ratio(known("sum_after_refusal_calls"), out),
    }

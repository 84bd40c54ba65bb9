"""Feature rows from aggregates: pure, float32 (numbers, features) in the order of NAMES."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.numbering import kinds_of
from services.common.numbering.keys import VALUE_MASK
from services.common.places import place
from services.features.definitions import (
    BLOCK_SIZES,
    DECAY_DAYS,
    MARK_WINDOWS_DAYS,
    NAMES,
    NTH_MARKS,
)

DAY_MS = 86_400_000
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Aggregates = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Aggregated:
    """What the store says of numbers as of a time.

    Attributes:
        marks, epochs, behaviour, origins, day_weighted: aggregates with ascending `number`.
        blocks: by block size, aggregates with ascending `block`.
        near: by block size, sums of `neighbourhoods` with ascending `block`.
        return_rate: share of all old numbers that returned.
    """

    marks: Aggregates
    epochs: Aggregates
    behaviour: Aggregates
    origins: Aggregates
    day_weighted: Aggregates
    blocks: Mapping[int, Aggregates]
    near: Mapping[int, Aggregates]
    return_rate: float


def rows(numbers: I64, as_of_ms: int, found: Aggregated) -> npt.NDArray[np.float32]:
    """Compute the rows of ascending numbers, int64 (n,), as of a time."""
    columns: dict[str, npt.NDArray[Any]] = {}
    columns |= _mark_columns(numbers, as_of_ms, found.marks)
    columns |= _block_columns(numbers, columns, found.blocks)
    columns |= _near_columns(numbers, as_of_ms, found)
    columns |= _behaviour_columns(numbers, found.behaviour)
    answered = _aligned(found.behaviour, numbers, "sum_answered_out", np.nan)
    columns["marks_per_answered_ratio"] = _ratio(columns["marks_30d_count"], answered)
    start = _aligned(found.epochs, numbers, "start_ms", np.nan)
    columns["tenure_days"] = (as_of_ms - start) / DAY_MS
    columns["epoch"] = _aligned(found.epochs, numbers, "epoch", 0)
    columns["block_10000_same_origin_mean"] = _aligned(
        found.origins, numbers, "same_origin", np.nan
    )
    columns["marks_day_weighted"] = _aligned(found.day_weighted, numbers, "day_weighted", 0)
    columns["number_kind"] = kinds_of(numbers)
    columns["number_prefix"] = (numbers & VALUE_MASK) // 10**7
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
        **{f"decayed_{days}d_count": count(f"decayed_{days}d") for days in DECAY_DAYS},
        **{f"mark_{n}_days": _age_days(as_of_ms, count(f"nth_{n}_ms")) for n in NTH_MARKS},
        "origins_count": count("origins"),
        "origin_known_ratio": known("origin_known"),
        "origin_top_ratio": _ratio(count("origin_top"), total),
        "marks_last_day_count": count("last_day"),
        "marks_top_day_count": count("top_day"),
        "weekend_ratio": known("weekend"),
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


MIN_REPEATED = 3
"""Marks from which a number counts as marked repeatedly."""
OLD_DAYS = 30
RETURN_PRIOR = 5.0
"""So many numbers at the common rate are added to a block's own."""


def contributions(as_of_ms: int, marks: Aggregates) -> dict[str, F64]:
    """What each marked number adds to its neighbourhoods, (n,) each."""
    total = np.asarray(marks["marks"], dtype=np.float64)
    first = np.asarray(marks["first_ms"], dtype=np.float64)
    last = np.asarray(marks["last_ms"], dtype=np.float64)
    old = (as_of_ms - first >= OLD_DAYS * DAY_MS).astype(np.float64)
    return {
        "numbers": np.ones(len(total)),
        "marks": total,
        "repeated": (total >= MIN_REPEATED).astype(np.float64),
        "life_days": (last - first) / DAY_MS,
        "old": old,
        "active": np.where(total > 1, np.asarray(marks["decayed_7d"], dtype=np.float64), 0.0),
        "returned": old * (np.asarray(marks["later"]) >= MIN_REPEATED),
    }


def neighbourhoods(as_of_ms: int, marks: Aggregates) -> dict[int, dict[str, npt.NDArray[Any]]]:
    """By block size: `block` ascending and the sums of `contributions` over its numbers."""
    own = contributions(as_of_ms, marks)
    found = {}
    for size in BLOCK_SIZES:
        block, at = np.unique(np.asarray(marks["number"]) // size, return_inverse=True)
        sums = {name: np.bincount(at, part, minlength=len(block)) for name, part in own.items()}
        found[size] = {"block": block, **sums}
    return found


def _near_columns(numbers: I64, as_of_ms: int, aggregated: Aggregated) -> dict[str, F64]:
    marks = aggregated.marks
    parts = contributions(as_of_ms, marks)
    columns: dict[str, F64] = {}
    own = {
        name: _aligned({"number": marks["number"], name: part}, numbers, name, 0)
        for name, part in parts.items()
    }
    for size, table in aggregated.near.items():
        at, found = place(np.asarray(table["block"], dtype=np.int64), numbers // size)

        def others(
            name: str,
            table: Aggregates = table,
            at: I64 = at,
            found: npt.NDArray[np.bool_] = found,
        ) -> F64:
            column = np.asarray(table[name], dtype=np.float64)
            total = np.where(found, column[at] if len(column) else 0.0, 0.0)
            return np.maximum(total - own[name], 0.0)

        count = others("numbers")
        columns[f"near_{size}_numbers_count"] = count
        columns[f"near_{size}_marks_mean"] = _ratio(others("marks"), count)
        columns[f"near_{size}_repeated_ratio"] = _ratio(others("repeated"), count)
        columns[f"near_{size}_life_days"] = _ratio(others("life_days"), count)
        columns[f"near_{size}_active_count"] = others("active")
        columns[f"near_{size}_return_ratio"] = (
            others("returned") + RETURN_PRIOR * aggregated.return_rate
        ) / (others("old") + RETURN_PRIOR)
    return columns


def day_weights(marks: I64) -> F64:
    """Weight of a mark of each day: mean marks of a day / marks of the day, (days,)."""
    return marks.mean() / np.maximum(marks, 1) if len(marks) else np.zeros(0)


def _age_days(as_of_ms: int, time_ms: F64) -> F64:
    return np.where(time_ms > 0, (as_of_ms - time_ms) / DAY_MS, np.nan)


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

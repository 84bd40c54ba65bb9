"""Feature rows from aggregates: pure, float32 (numbers, features) in the order of NAMES."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.numbering import kinds_of
from services.common.numbering.keys import VALUE_MASK
from services.features import blocks
from services.features.alike import References
from services.features.columns import DAY_MS, F64, I64, Aggregates, Aligned, age_days, ratio
from services.features.definitions import (
    DECAY_DAYS,
    ENTITIES,
    MARK_WINDOWS_DAYS,
    NAMES,
    NTH_MARKS,
    VOLUME_DECAY_DAYS,
    WINDOWED_ENTITIES,
)


@dataclass(frozen=True)
class Aggregated:
    """What the store says of numbers as of a time.

    Attributes:
        marks, epochs, withdrawals, behaviour, registrations: aggregates with ascending `number`.
        contributed: `blocks.contributions` of the marks.
        blocks: by block size, what the marks of blocks sum to.
        near: by block size, sums of `neighbourhoods` with ascending `block`.
        return_rate: share of all old numbers that returned.
        references: numbers that others are compared with by how they call.
    """

    marks: Aggregates
    epochs: Aggregates
    withdrawals: Aggregates
    behaviour: Aggregates
    registrations: Aggregates
    contributed: Aggregates
    blocks: Mapping[int, blocks.Blocks]
    near: Mapping[int, Aggregates]
    return_rate: float
    references: References


def rows(numbers: I64, as_of_ms: int, found: Aggregated) -> npt.NDArray[np.float32]:
    """Compute the rows of ascending numbers, int64 (n,), as of a time."""
    columns: dict[str, npt.NDArray[Any]] = {}
    columns |= _mark_columns(numbers, as_of_ms, found.marks)
    columns |= blocks.block_columns(numbers, found.blocks)
    columns |= blocks.near_columns(numbers, found.contributed, found.near, found.return_rate)
    columns |= behaviour_columns(numbers, found.behaviour)
    columns["alike_distance"] = found.references.distances(numbers, columns)
    answered = Aligned(found.behaviour, "number", numbers).column("sum_answered_out", np.nan)
    columns["marks_per_answered_ratio"] = ratio(columns["marks_30d_count"], answered)
    columns |= _lifecycle_columns(numbers, as_of_ms, found.epochs)
    columns |= _registry_columns(numbers, as_of_ms, found.registrations)
    withdrawn = Aligned(found.withdrawals, "number", numbers).column("withdrawn_marks", 0)
    columns["withdrawn_ratio"] = ratio(withdrawn, withdrawn + columns["marks_count"])
    columns["number_kind"] = kinds_of(numbers)
    columns["number_prefix"] = (numbers & VALUE_MASK) // 10**7
    return np.array([columns[name] for name in NAMES], dtype=np.float32).T


def _mark_columns(numbers: I64, as_of_ms: int, marks: Aggregates) -> dict[str, F64]:
    table = Aligned(marks, "number", numbers)

    def count(name: str) -> F64:
        return table.column(name, 0)

    def known(name: str) -> F64:
        return table.column(name, np.nan)

    total = count("marks")
    first_days = (as_of_ms - known("first_ms")) / DAY_MS
    last_days = (as_of_ms - known("last_ms")) / DAY_MS
    gaps = np.where(total > 1, total - 1, np.nan)
    gap = (first_days - last_days) / gaps
    columns = {f"marks_{d}d_count": count(f"marks_{d}d") for d in MARK_WINDOWS_DAYS}
    return columns | {
        "marks_count": total,
        "marks_older_count": total - columns["marks_30d_count"],
        **{f"mark_days_{d}d_count": count(f"days_{d}d") for d in MARK_WINDOWS_DAYS},
        "mark_days_count": count("days"),
        "mark_weeks_count": count("weeks"),
        **{
            f"{entity}s_{days}d_count": count(f"{entity}s_{days}d")
            for entity in WINDOWED_ENTITIES
            for days in MARK_WINDOWS_DAYS
        },
        **{f"{entity}s_count": count(f"{entity}s") for entity in ENTITIES},
        **{f"decayed_{days}d_count": count(f"decayed_{days}d") for days in DECAY_DAYS},
        **{f"decayed_{days}v_count": count(f"decayed_{days}v") for days in VOLUME_DECAY_DAYS},
        "last_mark_volume_days": known("last_volume_age"),
        "first_mark_volume_days": known("first_volume_age"),
        **{f"mark_{n}_days": age_days(as_of_ms, count(f"nth_{n}_ms")) for n in NTH_MARKS},
        "last_mark_days": last_days,
        "first_mark_days": first_days,
        "mark_gap_days": gap,
        "mark_gap_last_days": np.where(total > 1, count("gap_last_ms") / DAY_MS, np.nan),
        "mark_gap_max_days": np.where(total > 1, count("gap_max_ms") / DAY_MS, np.nan),
        "burstiness": _burstiness(gap, count("gap_squares") / gaps, total),
        "label_entropy_bits": known("label_entropy"),
        "origin_entropy_bits": known("origin_entropy"),
        "day_entropy_bits": known("day_entropy"),
        "call_proof_ratio": known("call_proof"),
        "origin_known_ratio": known("origin_known"),
        "origin_top_ratio": ratio(count("origin_top"), total),
        "same_area_ratio": known("same_area"),
        "marks_last_day_count": count("last_day"),
        "marks_top_day_count": count("top_day"),
        "marks_day_weighted": count("day_weighted"),
        "weekend_ratio": known("weekend"),
    }


def _burstiness(mean: F64, mean_square: F64, total: F64) -> F64:
    """(s - m) / (s + m) of the times between marks (Goh & Barabási 2008); unknown below three."""
    deviation = np.sqrt(np.maximum(mean_square - mean**2, 0))
    bursts = ratio(deviation - mean, deviation + mean)
    return np.where(total > 2, bursts, np.nan)


def _lifecycle_columns(numbers: I64, as_of_ms: int, epochs: Aggregates) -> dict[str, F64]:
    table = Aligned(epochs, "number", numbers)

    def time_ms(name: str) -> F64:
        return table.column(name, 0)

    start, released = time_ms("start_ms"), time_ms("released_ms")
    return {
        "tenure_days": age_days(as_of_ms, start),
        "epoch": time_ms("epoch"),
        "released_days": age_days(as_of_ms, np.where(released == start, released, 0)),
        "ported_days": age_days(as_of_ms, time_ms("ported_ms")),
    }


def _registry_columns(numbers: I64, as_of_ms: int, table: Aggregates) -> dict[str, F64]:
    there = Aligned(table, "number", numbers)
    start = there.column("from_ms", np.nan)
    outbound = there.column("outbound", OUTBOUND_NOT_STATED)
    return {
        "registered": (~np.isnan(start)).astype(np.float64),
        "registered_days": (as_of_ms - start) / DAY_MS,
        "registered_outbound": np.where(outbound == OUTBOUND_NOT_STATED, np.nan, outbound),
    }


OUTBOUND_NOT_STATED = 2


def day_weights(marks: I64) -> F64:
    """Weight of a mark of each day: mean marks of a day / marks of the day, (days,)."""
    return marks.mean() / np.maximum(marks, 1) if len(marks) else np.zeros(0)


VOLUME_DAYS = 28
"""Newest days with marks, whose mean is the unit of ages in volume: volume grows over the years."""


def day_ages(marks: I64) -> F64:
    """How much was marked after each day, in mean days' marks, (days,)."""
    after = np.cumsum(marks[::-1])[::-1] - marks
    return after / marks[-VOLUME_DAYS:].mean() if len(marks) else np.zeros(0)


def behaviour_columns(numbers: I64, table: Aggregates) -> dict[str, F64]:
    """How numbers, (n,), call, by sums over days with ascending `number`; no mark enters."""
    there = Aligned(table, "number", numbers)

    def known(name: str) -> F64:
        return there.column(name, np.nan)

    days, out = known("active_days"), known("sum_calls_out")
    answered, received = known("sum_answered_out"), known("sum_calls_in")
    return {
        "active_days": days,
        "calls_out_per_day": ratio(out, days),
        "calls_out_max": known("calls_out_max"),
        "answered_ratio": ratio(answered, out),
        "callees_per_call_ratio": ratio(known("sum_distinct_callees"), out),
        "ring_only_ratio": ratio(known("sum_ring_only_out"), out),
        "short_ratio": ratio(known("sum_short_calls_out"), answered),
        "talk_per_answered_s": ratio(known("sum_talk_s"), answered),
        "in_out_ratio": ratio(received, received + out),
        "callback_ratio": ratio(known("sum_callbacks_in"), out),
        "night_ratio": ratio(known("sum_night_calls_out"), out),
        "calls_per_callee_max": known("per_callee"),
        "calls_per_minute_max": known("per_minute"),
        "callers_share_callee_max": known("share_callee"),
        "areas_per_day": ratio(known("sum_distinct_areas"), days),
        "sequential_ratio": known("sequential"),
        "devices_max": known("devices"),
        "cells_per_day": ratio(known("sum_cell_count"), days),
        "intl_ingress_ratio": ratio(known("sum_intl_ingress_calls"), out),
        "auth_failed_ratio": ratio(known("sum_auth_failed_calls"), out),
        "after_refusal_ratio": ratio(known("sum_after_refusal_calls"), out),
    }

"""Feature rows from aggregates: pure, float32 (numbers, features) in the order of NAMES."""

from collections.abc import Sequence
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
from services.features.number_rows import BEHAVIOUR


@dataclass(frozen=True)
class Aggregated:
    """What the store says of numbers as of a time.

    Attributes:
        marks, epochs, withdrawals, behaviour, registrations: aggregates with ascending `number`.
        contributed: `blocks.contributions` of the marks.
        blocks: what the marks of blocks sum to, each of BLOCK_SIZES in one of them.
        near: sums of `neighbourhoods`, by key.
        return_rate: share of all old numbers that returned.
        references: numbers that others are compared with by how they call.
    """

    marks: Aggregates
    epochs: Aggregates
    withdrawals: Aggregates
    behaviour: Aggregates
    registrations: Aggregates
    contributed: Aggregates
    blocks: Sequence[blocks.Blocks]
    near: Aggregates
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


_COUNTS = {
    "marks_count": "marks",
    **{f"marks_{days}d_count": f"marks_{days}d" for days in MARK_WINDOWS_DAYS},
    **{f"mark_days_{days}d_count": f"days_{days}d" for days in MARK_WINDOWS_DAYS},
    "mark_days_count": "days",
    "mark_weeks_count": "weeks",
    **{
        f"{entity}s_{days}d_count": f"{entity}s_{days}d"
        for entity in WINDOWED_ENTITIES
        for days in MARK_WINDOWS_DAYS
    },
    **{f"{entity}s_count": f"{entity}s" for entity in ENTITIES},
    **{f"decayed_{days}d_count": f"decayed_{days}d" for days in DECAY_DAYS},
    **{f"decayed_{days}v_count": f"decayed_{days}v" for days in VOLUME_DECAY_DAYS},
    "marks_last_day_count": "last_day",
    "marks_top_day_count": "top_day",
    "marks_day_weighted": "day_weighted",
}
"""Features that are sums of marks, and 0 without a mark."""
_KNOWN = {
    "last_mark_volume_days": "last_volume_age",
    "first_mark_volume_days": "first_volume_age",
    "label_entropy_bits": "label_entropy",
    "origin_entropy_bits": "origin_entropy",
    "day_entropy_bits": "day_entropy",
    "call_proof_ratio": "call_proof",
    "origin_known_ratio": "origin_known",
    "same_area_ratio": "same_area",
    "weekend_ratio": "weekend",
}
"""Those that are unknown without one."""
_TIMES = ("first_ms", "last_ms", *(f"nth_{n}_ms" for n in NTH_MARKS))
_AGES = ("first_mark_days", "last_mark_days", *(f"mark_{n}_days" for n in NTH_MARKS))


def _mark_columns(numbers: I64, as_of_ms: int, marks: Aggregates) -> dict[str, F64]:
    sums = Aligned(marks, "number", numbers)
    columns = dict(zip(_COUNTS, sums.columns(tuple(_COUNTS.values()), 0), strict=True))
    columns |= zip(_KNOWN, sums.columns(tuple(_KNOWN.values()), np.nan), strict=True)
    columns |= zip(_AGES, age_days(as_of_ms, sums.columns(_TIMES, 0)), strict=True)
    names = ("gap_last_ms", "gap_max_ms", "gap_squares", "origin_top")
    last_gap_ms, max_gap_ms, squares, top = sums.columns(names, 0)
    total = columns["marks_count"]
    gaps = np.where(total > 1, total - 1, np.nan)
    gap = (columns["first_mark_days"] - columns["last_mark_days"]) / gaps
    return columns | {
        "marks_older_count": total - columns["marks_30d_count"],
        "mark_gap_days": gap,
        "mark_gap_last_days": np.where(total > 1, last_gap_ms / DAY_MS, np.nan),
        "mark_gap_max_days": np.where(total > 1, max_gap_ms / DAY_MS, np.nan),
        "burstiness": _burstiness(gap, squares / gaps, total),
        "origin_top_ratio": ratio(top, total),
    }


def _burstiness(mean: F64, mean_square: F64, total: F64) -> F64:
    """(s - m) / (s + m) of the times between marks (Goh & Barabási 2008); unknown below three."""
    deviation = np.sqrt(np.maximum(mean_square - mean**2, 0))
    bursts = ratio(deviation - mean, deviation + mean)
    return np.where(total > 2, bursts, np.nan)


def _lifecycle_columns(numbers: I64, as_of_ms: int, epochs: Aggregates) -> dict[str, F64]:
    names = ("start_ms", "epoch", "released_ms", "ported_ms")
    start, epoch, released, ported = Aligned(epochs, "number", numbers).columns(names, 0)
    times = np.array([start, np.where(released == start, released, 0), ported])
    tenure, since_release, since_porting = age_days(as_of_ms, times)
    return {
        "tenure_days": tenure,
        "epoch": epoch,
        "released_days": since_release,
        "ported_days": since_porting,
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
    known = dict(zip(BEHAVIOUR, there.columns(tuple(BEHAVIOUR), np.nan), strict=True))
    out, received = known["sum_calls_out"], known["sum_calls_in"]
    columns = {
        "active_days": known["active_days"],
        "calls_out_max": known["calls_out_max"],
        "in_out_ratio": ratio(received, received + out),
        "calls_per_callee_max": known["per_callee"],
        "calls_per_minute_max": known["per_minute"],
        "callers_share_callee_max": known["share_callee"],
        "sequential_ratio": known["sequential"],
        "devices_max": known["devices"],
    }
    for whole, parts in _RATIOS.items():
        found = ratio(np.array([known[part] for part in parts.values()]), known[whole])
        columns |= zip(parts, found, strict=True)
    return columns


_RATIOS = {
    "active_days": {
        "calls_out_per_day": "sum_calls_out",
        "areas_per_day": "sum_distinct_areas",
        "cells_per_day": "sum_cell_count",
    },
    "sum_calls_out": {
        "answered_ratio": "sum_answered_out",
        "callees_per_call_ratio": "sum_distinct_callees",
        "ring_only_ratio": "sum_ring_only_out",
        "callback_ratio": "sum_callbacks_in",
        "night_ratio": "sum_night_calls_out",
        "intl_ingress_ratio": "sum_intl_ingress_calls",
        "auth_failed_ratio": "sum_auth_failed_calls",
        "after_refusal_ratio": "sum_after_refusal_calls",
    },
    "sum_answered_out": {
        "short_ratio": "sum_short_calls_out",
        "talk_per_answered_s": "sum_talk_s",
    },
}
"""By what they are shares of: features, and what of each."""

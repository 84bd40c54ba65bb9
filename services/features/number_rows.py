"""What the facts of some numbers sum to, as the store says it of all: calls, events, registrations.

tests/store/test_touched.py holds both to be equal.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from services.common import facts
from services.common.places import runs
from services.features.columns import DAY_MS, I64, Aggregates

CALLS_SUMMED = (
    "calls_out", "answered_out", "distinct_callees", "ring_only_out", "short_calls_out",
    "talk_s", "calls_in", "callbacks_in", "night_calls_out", "distinct_areas", "cell_count",
    "intl_ingress_calls", "auth_failed_calls", "after_refusal_calls",
)  # fmt: skip

BEHAVIOUR: dict[str, tuple[str, str]] = {
    "active_days": ("uniqExact", "day"),
    "calls_out_max": ("max", "calls_out"),
    **{f"sum_{name}": ("sum", name) for name in CALLS_SUMMED},
    "sequential": ("avg", "sequential_ratio"),
    "per_callee": ("max", "max_calls_per_callee"),
    "per_minute": ("max", "max_calls_per_minute"),
    "share_callee": ("max", "max_callers_share_callee"),
    "devices": ("max", "imei_count"),
}
"""By name, how a column of the days of a number is brought together, in the store and here."""
_TOGETHER = {
    how: [name for name, (each, _) in BEHAVIOUR.items() if each == how] for how in ("sum", "max")
}
BEHAVIOUR_DAYS = 30
"""Of so many whole days in China (UTC+8) before a time."""


def behaviour_days(as_of_ms: int) -> tuple[int, int]:
    """The days of calls that count at a time, since 1970: the first, and the one after the last."""
    end = china_day(as_of_ms)
    return end - BEHAVIOUR_DAYS, end


def china_day(time_ms: int) -> int:
    """The day in China (UTC+8) that a time is in, days since 1970."""
    return (time_ms + 8 * 3_600_000) // DAY_MS


def behaviour(days: Aggregates) -> Aggregates:
    """`number` ascending and BEHAVIOUR of each, (n,).

    Args:
        days: number and the columns that BEHAVIOUR is of, of days of numbers, (m,) each, in any
            order.
    """
    order = np.lexsort((days["day"], days["number"]))
    numbers, starts, count = runs(days["number"][order])
    found: dict[str, npt.NDArray[Any]] = {"number": numbers}
    for name, (how, column) in BEHAVIOUR.items():
        if how not in _TOGETHER:
            found[name] = brought_together(how, days[column][order], starts, count)
    for how, names in _TOGETHER.items():
        rows = np.array([days[BEHAVIOUR[name][1]] for name in names])[:, order]
        found |= zip(names, brought_together(how, rows, starts, count), strict=True)
    return found


def epochs(events: Aggregates) -> Aggregates:
    """`number` ascending, start_ms, epoch, released_ms, ported_ms of each, (n,).

    Args:
        events: number, occurred_ms and kind (1 assigned, 2 released, 3 ported; no other counts),
            (m,) each.
    """
    order = np.lexsort((events["kind"], events["occurred_ms"], events["number"]))
    order = order[(events["kind"][order] >= 1) & (events["kind"][order] <= 3)]
    number, time_ms, kind = (events[name][order] for name in ("number", "occurred_ms", "kind"))
    fresh = np.ones(len(number), dtype=bool)  # not the same event sent twice
    fresh[1:] = (number[1:] != number[:-1]) | (time_ms[1:] != time_ms[:-1])
    fresh[1:] |= kind[1:] != kind[:-1]
    number, time_ms, kind = number[fresh], time_ms[fresh], kind[fresh]
    numbers, starts, count = runs(number)
    is_assigned, is_released, is_ported = kind == 1, kind == 2, kind == 3
    times = np.where(np.array([~is_ported, is_released, is_ported]), time_ms, 0)
    start, released, ported = brought_together("max", times, starts, count)
    return {
        "number": numbers,
        "start_ms": start,
        "epoch": brought_together("sum", is_assigned.astype(np.int64), starts, count),
        "released_ms": released,
        "ported_ms": ported,
    }


def registrations(rows: Aggregates, as_of_ms: int) -> Aggregates:
    """`number` ascending, from_ms and outbound of the newest registration of each in force, (n,).

    Args:
        rows: number, valid_from_ms, valid_until_ms, outbound_allowed and seq of those that began by
            then, (m,) each, in any order.
        as_of_ms: epoch milliseconds.
    """
    rows = facts.newest(rows, "number", "valid_from_ms")
    in_force = rows["valid_until_ms"] > as_of_ms
    number = rows["number"][in_force]
    last = np.append(number[1:] != number[:-1], True)[: len(number)]
    return {
        "number": number[last],
        "from_ms": rows["valid_from_ms"][in_force][last],
        "outbound": rows["outbound_allowed"][in_force][last],
    }


def brought_together(
    how: str, column: npt.NDArray[Any], starts: I64, count: I64
) -> npt.NDArray[Any]:
    """One column of each number, (n,): "sum", "avg", "max" or "uniqExact" of an ascending one.

    "sum" and "max" take (c, m) columns, too.
    """
    if not len(starts):
        return column[..., :0]
    if how == "max":
        return np.maximum.reduceat(column, starts, axis=-1)
    if how == "sum":
        return np.add.reduceat(column, starts, axis=-1)
    at = np.repeat(np.arange(len(starts)), count)
    if how == "avg":  # in the order of days, as the store adds
        return np.bincount(at, column) / count
    fresh = np.ones(len(column), dtype=bool)
    fresh[1:] = (column[1:] != column[:-1]) | (at[1:] != at[:-1])
    return np.bincount(at[fresh], minlength=len(starts))

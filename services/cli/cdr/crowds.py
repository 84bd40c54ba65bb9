"""How many callers one callee has within ten minutes, for each of them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from services.cli.cdr.grouping import coded, sorted_groups
from services.cli.cdr.records import COUNTS_CROWD
from services.cli.cdr.times import china_days

I64 = npt.NDArray[np.int64]
WINDOW_MS = 600_000
"""FORMATS: callers hitting the same callee within 10 minutes."""
CROWD = np.dtype([("number", "i8"), ("day", "i8"), ("callers", "i8")])


def crowds(received: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Callers in a crowd: the greatest they were part of on a day; who called alone is not there.

    A crowd is the distinct callers of a callee within any ten minutes of one day in China.

    Args:
        received: RECEIVED rows; all of a callee and day together, in any order.

    Returns:
        CROWD rows by number and day, `callers` > 1.
    """
    received = received.take(np.flatnonzero(received["flags"] & COUNTS_CROWD))
    if not len(received):
        return np.empty(0, dtype=CROWD)
    groups, numbers, _ = coded(received["number"], china_days(received["started_ms"]))
    order, keys = sorted_groups(groups, received["started_ms"], len(numbers))
    near = keys[1:] - keys[:-1] < WINDOW_MS
    together = np.append(near, False) | np.append(False, near)
    order, keys = order[together], keys[together]
    if not len(order):
        return np.empty(0, dtype=CROWD)
    callers = greatest_crowds(keys, received["other"][order])
    more = np.flatnonzero(callers > 1)
    return largest(
        received["other"][order[more]],
        china_days(received["started_ms"][order[more]]),
        callers[more],
    )


def largest(number: I64, day: I64, callers: I64) -> npt.NDArray[Any]:
    """The greatest crowd of each number and day, CROWD rows."""
    order = np.lexsort((callers, day, number))
    found = np.empty(len(order), dtype=CROWD)
    found["number"], found["day"], found["callers"] = number[order], day[order], callers[order]
    last = np.ones(len(found), dtype=bool)
    last[:-1] = (found["number"][1:] != found["number"][:-1]) | (
        found["day"][1:] != found["day"][:-1]
    )
    return found[last]


def greatest_crowds(keys: I64, callers: I64) -> I64:
    """For each call, the most distinct callers within a window that holds it, (n,).

    Args:
        keys: ascending milliseconds; calls to different callees lie further apart than a window.
        callers: who called.
    """
    count = len(keys)
    at = np.arange(count)
    start = np.searchsorted(keys, keys - (WINDOW_MS - 1))
    before = _previous(start, callers)
    # Windows begin at calls. Call j is the first of its caller in those that begin after the
    # caller's call before and early enough to hold j.
    change = np.zeros(count + 1, dtype=np.int64)
    np.add.at(change, np.maximum(before + 1, start), 1)
    change[1:] -= 1
    distinct = np.cumsum(change[:-1])
    return _range_maximum(distinct, start, at)


def _previous(start: I64, callers: I64) -> I64:
    """Place of the same caller's call before, -1 if it is not within the window, (n,)."""
    order = np.argsort(callers, kind="stable")
    result = np.full(len(callers), -1, dtype=np.int64)
    same = callers[order[1:]] == callers[order[:-1]]
    result[order[1:][same]] = order[:-1][same]
    return np.where(result >= start, result, -1)


def _range_maximum(values: I64, low: I64, high: I64) -> I64:
    """max(values[low..high]) of each pair by doubling (Bender & Farach-Colton 2000), (n,)."""
    level = np.log2(high - low + 1).astype(np.int64)
    result = np.empty(len(low), dtype=np.int64)
    table = values
    for k in range(int(level.max(initial=0)) + 1):
        rows = np.flatnonzero(level == k)
        result[rows] = np.maximum(table[low[rows]], table[high[rows] - (1 << k) + 1])
        table = np.maximum(table[: -(1 << k)], table[1 << k :])
    return result

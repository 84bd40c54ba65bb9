"""A number's calls of a day become one row of behaviour. Pure; formulas: docs/cdr.md."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.cli.cdr import records
from services.cli.cdr.grouping import coded, codes, distinct, sorted_groups
from services.cli.cdr.times import china_days
from services.common.numbering import format_column
from services.common.places import place

I64 = npt.NDArray[np.int64]

COLUMNS = (
    "number", "day", "carrier", "calls_out", "answered_out", "distinct_callees", "ring_only_out",
    "short_calls_out", "talk_s", "calls_in", "callbacks_in", "night_calls_out",
    "max_calls_per_callee", "max_calls_per_minute", "max_callers_share_callee", "distinct_areas",
    "sequential_ratio", "imei_count", "cell_count", "intl_ingress_calls", "auth_failed_calls",
    "after_refusal_calls",
)  # fmt: skip
MINUTE_MS = 60_000
SEQUENTIAL_STEP = 10
"""Dialling upwards by so much at most is in numeric order: some numbers of a block are left out
because nobody holds them. Ours."""
SEQUENTIAL_CALLS = 5
"""Fewer calls have no order. Ours."""


def behaviour(
    calls: npt.NDArray[Any], received: npt.NDArray[Any], crowds: npt.NDArray[Any], carrier: str
) -> pa.Table:
    """Rows of COLUMNS by number and day.

    Args:
        calls: CALL rows, all of a number and day together, in any order.
        received: RECEIVED rows of the same numbers and days.
        crowds: CROWD rows of the same numbers and days, one or more each.
        carrier: who tells.
    """
    received = received[(received["flags"] & records.COUNTS_IN) > 0]
    number = np.concatenate([calls["number"], received["number"]])
    started = np.concatenate([calls["started_ms"], received["started_ms"]])
    groups, numbers, days = coded(number, china_days(started))
    others, _ = codes(np.concatenate([calls["other"], received["other"]]))
    count, made = len(numbers), len(calls)
    columns = _sums(calls, groups[:made], count)
    columns |= _orders(calls, groups[:made], count)
    columns |= _callees(
        calls["started_ms"], groups[:made], others[:made],
        received["started_ms"], groups[made:], others[made:], count,
    )  # fmt: skip
    columns["max_callers_share_callee"] = _crowded(crowds, numbers, days, columns["calls_out"])
    table: dict[str, Any] = dict(columns)
    table["number"] = format_column(numbers)
    table["day"] = pa.array(days.astype(np.int32)).cast(pa.date32())
    table["carrier"] = pa.repeat(carrier, count)
    return pa.table({name: table[name] for name in COLUMNS})


def _sums(calls: npt.NDArray[Any], groups: I64, count: int) -> dict[str, npt.NDArray[Any]]:
    def flagged(flag: int) -> I64:
        return np.bincount(groups[(calls["flags"] & flag) > 0], minlength=count)

    talk_s = np.bincount(groups, calls["talk_s"], minlength=count)
    return {
        "calls_out": np.bincount(groups, minlength=count),
        "answered_out": flagged(records.ANSWERED),
        "ring_only_out": flagged(records.RING_ONLY),
        "short_calls_out": flagged(records.SHORT),
        "night_calls_out": flagged(records.NIGHT),
        "intl_ingress_calls": flagged(records.INTERNATIONAL),
        "auth_failed_calls": flagged(records.FAILED),
        "after_refusal_calls": flagged(records.REFUSED),
        "talk_s": talk_s.astype(np.int64),
    }


def _orders(calls: npt.NDArray[Any], groups: I64, count: int) -> dict[str, npt.NDArray[Any]]:
    """What the calls' order in time says."""
    order, keys = sorted_groups(groups, calls["started_ms"])
    _order_twins(order, keys, calls["other"])
    groups = groups[order]
    in_minute = np.arange(1, len(keys) + 1) - np.searchsorted(keys, keys - (MINUTE_MS - 1))
    per_minute = np.zeros(count, dtype=np.int64)
    if len(groups):
        starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
        per_minute[groups[starts]] = np.maximum.reduceat(in_minute, starts)
    other = calls["other"][order]
    step = other[1:] - other[:-1]
    upwards = (step > 0) & (step <= SEQUENTIAL_STEP) & (groups[1:] == groups[:-1])
    made = np.bincount(groups, minlength=count)
    steps = np.bincount(groups[1:][upwards], minlength=count)
    enough = made >= SEQUENTIAL_CALLS
    ratio = np.divide(steps, made - 1, out=np.zeros(count), where=enough)
    return {
        "max_calls_per_minute": per_minute,
        "sequential_ratio": np.round(ratio, 4),
        "distinct_areas": distinct(groups, calls["area"][order], count),
        "imei_count": distinct(groups, calls["imei"][order], count),
        "cell_count": distinct(groups, calls["cell"][order], count),
    }


def _order_twins(order: I64, keys: I64, others: I64) -> None:
    """Put calls that began in the same millisecond in the order of their callees, in place."""
    same = keys[1:] == keys[:-1]
    twins = np.flatnonzero(np.append(same, False) | np.append(False, same))
    rows = order[twins]
    order[twins] = rows[np.lexsort((others[rows], keys[twins]))]


def _callees(
    called_ms: I64, groups: I64, callees: I64, heard_ms: I64, heard: I64, callers: I64, count: int
) -> dict[str, npt.NDArray[Any]]:
    """Distinct callees, most calls to one, and calls from those called before on the day."""
    pairs = (groups << 31) | callees
    ordered = np.sort(pairs)
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
    known = ordered[starts]
    times = np.diff(np.append(starts, len(ordered)))
    of_group = known >> 31
    most = np.zeros(count, dtype=np.int64)
    if len(known):
        firsts = np.flatnonzero(np.append(True, of_group[1:] != of_group[:-1]))
        most[of_group[firsts]] = np.maximum.reduceat(times, firsts)
    called = np.zeros(count, dtype=bool)
    called[groups] = True
    maybe = np.flatnonzero(called[heard])
    at, found = place(known, (heard[maybe] << 31) | callers[maybe])
    maybe, at = maybe[found], at[found]
    # Few numbers are called back: the first call is looked for only where one was.
    wanted = np.unique(at)
    own_at, own = place(known[wanted], pairs)
    first_ms = np.full(len(wanted), np.iinfo(np.int64).max)
    np.minimum.at(first_ms, own_at[own], called_ms[own])
    back = heard_ms[maybe] > first_ms[np.searchsorted(wanted, at)]
    return {
        "distinct_callees": np.bincount(of_group, minlength=count),
        "max_calls_per_callee": most,
        "calls_in": np.bincount(heard, minlength=count),
        "callbacks_in": np.bincount(heard[maybe[back]], minlength=count),
    }


def _crowded(crowds: npt.NDArray[Any], numbers: I64, days: I64, calls_out: I64) -> I64:
    """Size of the greatest crowd each group was in; 1 for callers who were in none."""
    result = np.minimum(calls_out, 1)
    first = int(days.min(initial=0))
    span = int(days.max(initial=0)) - first + 1
    in_crowds = np.unique(crowds["number"])
    at, known = place(in_crowds, numbers)
    groups = np.flatnonzero(known)
    keys = at[groups] * span + days[groups] - first
    asked = np.searchsorted(in_crowds, crowds["number"]) * span + crowds["day"] - first
    found, same = place(keys, asked)
    np.maximum.at(result, groups[found[same]], crowds["callers"][same])
    return result

"""A number's calls of a day become one row of behaviour. Pure; formulas: docs/cdr.md."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.cli.cdr import records
from services.cli.cdr.grouping import coded, distinct, heads, paired, sorted_groups, variety
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
_FLAGS = np.arange(256)
_FLAGGED = (
    ("answered_out", records.ANSWERED), ("ring_only_out", records.RING_ONLY),
    ("short_calls_out", records.SHORT), ("night_calls_out", records.NIGHT),
    ("intl_ingress_calls", records.INTERNATIONAL), ("auth_failed_calls", records.FAILED),
    ("after_refusal_calls", records.REFUSED),
)  # fmt: skip


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
    # `take`, since indexing rows of several fields takes twenty times as long.
    received = received.take(np.flatnonzero(received["flags"] & records.COUNTS_IN))
    number = np.concatenate([calls["number"], received["number"]])
    started = np.concatenate([calls["started_ms"], received["started_ms"]])
    groups, numbers, days = coded(number, china_days(started))
    count, made = len(numbers), len(calls)
    groups, heard = groups[:made], groups[made:]
    order, keys = sorted_groups(groups, calls["started_ms"], count)
    _order_twins(order, keys, calls["other"])
    calls, groups = calls.take(order), groups[order]
    columns = _sums(calls, groups, count)
    columns |= _orders(calls, groups, keys, count)
    columns["calls_in"] = np.bincount(heard, minlength=count)
    columns["callbacks_in"] = _callbacks(calls, groups, received, heard, count)
    columns["max_callers_share_callee"] = _crowded(crowds, numbers, days, columns["calls_out"])
    table: dict[str, Any] = dict(columns)
    table["number"] = format_column(numbers)
    table["day"] = pa.array(days.astype(np.int32)).cast(pa.date32())
    table["carrier"] = pa.repeat(carrier, count)
    return pa.table({name: table[name] for name in COLUMNS})


def _sums(calls: npt.NDArray[Any], groups: I64, count: int) -> dict[str, npt.NDArray[Any]]:
    """What calls, in the order of groups, sum to."""
    columns = {"calls_out": np.bincount(groups, minlength=count)}
    flags = np.ascontiguousarray(calls["flags"])
    for at in range(0, len(_FLAGGED), 2):
        # Two counts in one sum, exact below 2^26 calls of a number on a day.
        two = list(enumerate(_FLAGGED[at : at + 2]))
        worth = np.sum([_FLAGS // flag % 2 * 2.0 ** (26 * i) for i, (_, flag) in two], axis=0)
        both = np.bincount(groups, worth[flags], minlength=count).astype(np.int64)
        for i, (name, _) in two:
            columns[name] = both >> (26 * i) & (1 << 26) - 1
    talk_s = np.bincount(groups, calls["talk_s"], minlength=count)
    columns["talk_s"] = talk_s.astype(np.int64)
    return columns


def _orders(
    calls: npt.NDArray[Any], groups: I64, keys: I64, count: int
) -> dict[str, npt.NDArray[Any]]:
    """What calls in the order of groups and time say; `keys` are of that order."""
    later = np.flatnonzero(keys[1:] - keys[:-1] < MINUTE_MS) + 1
    in_minute = np.ones(len(keys), dtype=np.int64)
    in_minute[later] = later + 1 - np.searchsorted(keys, keys[later] - (MINUTE_MS - 1))
    per_minute = np.zeros(count, dtype=np.int64)
    if len(groups):
        starts = heads(groups)
        per_minute[groups[starts]] = np.maximum.reduceat(in_minute, starts)
    other = np.ascontiguousarray(calls["other"])
    step = other[1:] - other[:-1]
    upwards = (step > 0) & (step <= SEQUENTIAL_STEP) & (groups[1:] == groups[:-1])
    made = np.bincount(groups, minlength=count)
    steps = np.bincount(groups[1:][upwards], minlength=count)
    enough = made >= SEQUENTIAL_CALLS
    ratio = np.divide(steps, made - 1, out=np.zeros(count), where=enough)
    callees, most = variety(groups, other, count)
    return {
        "max_calls_per_minute": per_minute,
        "sequential_ratio": np.round(ratio, 4),
        "distinct_callees": callees,
        "max_calls_per_callee": most,
        "distinct_areas": distinct(groups, calls["area"], count),
        "imei_count": distinct(groups, calls["imei"], count),
        "cell_count": distinct(groups, calls["cell"], count),
    }


def _order_twins(order: I64, keys: I64, others: I64) -> None:
    """Put calls that began in the same millisecond in the order of their callees, in place."""
    same = keys[1:] == keys[:-1]
    twins = np.flatnonzero(np.append(same, False) | np.append(False, same))
    rows = order[twins]
    order[twins] = rows[np.lexsort((others[rows], keys[twins]))]


def _callbacks(
    calls: npt.NDArray[Any], groups: I64, received: npt.NDArray[Any], heard: I64, count: int
) -> I64:
    """Calls that each group received from a number it had called before, (count,)."""
    made = len(groups)
    pairs, _ = paired(np.append(groups, heard), np.append(calls["other"], received["other"]), count)
    # A pair of both sides is followed by itself and one: few callers were called.
    sides = np.sort(pairs * 2 + (np.arange(len(pairs)) >= made))
    known = sides[:-1][(sides[1:] - sides[:-1] == 1) & (sides[:-1] % 2 == 0)] // 2
    if not len(known):
        return np.zeros(count, dtype=np.int64)
    at, found = place(known, pairs)
    rows, back = np.flatnonzero(found[:made]), np.flatnonzero(found[made:])
    first_ms = np.full(len(known), np.iinfo(np.int64).max)
    np.minimum.at(first_ms, at[rows], calls["started_ms"][rows])
    back = back[received["started_ms"][back] > first_ms[at[made:][back]]]
    return np.bincount(heard[back], minlength=count)


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

"""What the marks of a number sum to: one definition each, for the store and for a few numbers.

The job sums in the store, over all marks. Of touched numbers the marks are few, and planning that
statement takes longer than reading and summing them here: hence two spellings, side by side, which
tests/store/test_touched.py holds to be equal to the last bit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.features.columns import DAY_MS, FIRST
from services.features.definitions import (
    DECAY_DAYS,
    ENTITIES,
    MARK_WINDOWS_DAYS,
    NTH_MARKS,
    VOLUME_DECAY_DAYS,
    WEEKS,
    WINDOWED_ENTITIES,
)
from services.features.mark_rows import MarkRows

Sums = npt.NDArray[Any]

ARRAYS = {"origin": "origins_in_order", "label": "labels_in_order", "day": "mark_days"}
"""In the store, one number's values from the newest mark on; `mark_queries.mark_dynamics`."""
TIMES = {name: f"{name}_times" for name in (*ENTITIES, "day")}
"""In the store, the times, newest first, at which each distinct known value was last seen."""


@dataclass(frozen=True)
class Sum:
    """One aggregate of the marks of each number.

    Attributes:
        sql: over the arrays of one number's marks.
        of: the same of the marks of many numbers, (n,).
    """

    sql: str
    of: Callable[[MarkRows], Sums]


def _narrow(wide: Sum) -> Sum:
    """As Float32, for rows are many."""
    return Sum(f"toFloat32({wide.sql})", lambda rows: wide.of(rows).astype(np.float32))


def _since(days: int) -> Sum:
    since = f"arrayCount(time -> time > %(as_of)s - {days * DAY_MS}, times)"
    return Sum(since, lambda rows: rows.recent(days))


def _seen_since(days: int, name: str) -> Sum:
    return Sum(
        f"arrayCount(time -> time > %(as_of)s - {days * DAY_MS}, {TIMES[name]})",
        lambda rows: rows.recent(days, name),
    )


def _seen(name: str) -> Sum:
    return Sum(f"length({TIMES[name]})", lambda rows: rows.count(rows.seen(name)))


def _decayed(days: int) -> Sum:
    return Sum(
        f"arraySum(time -> exp2((time - %(as_of)s) / {days * DAY_MS}), times)",
        lambda rows: rows.total(np.exp2((rows.times - rows.as_of_ms) / (days * DAY_MS))),
    )


def _decayed_by_volume(days: int) -> Sum:
    return Sum(
        f"arraySum(age -> exp2(-age / {days}), volume_ages)",
        lambda rows: rows.total(np.exp2(-rows.volume_ages / days)),
    )


def _nth(n: int) -> Sum:
    return Sum(f"arrayElement(times, {n})", lambda rows: rows.nth(rows.times, n))


def _top(name: str) -> Sum:
    """Marks with the commonest value."""
    return Sum(
        f"toUInt32(arrayReduce('max', arrayEnumerateUniq({ARRAYS[name]})))",
        lambda rows: rows.most(rows.occurrence(name)),
    )


def _entropy(name: str) -> Sum:
    """Entropy in bits of the values.

    The k-th occurrence of a value adds k log k - (k - 1) log (k - 1), which sums to c log c.
    """

    def of(rows: MarkRows) -> Sums:
        k = rows.occurrence(name).astype(np.float64)
        before = np.maximum(k - 1, 1.0)  # the first adds 0 either way
        added = k * np.log2(k) - (k - 1) * np.log2(before)
        return np.asarray(np.log2(rows.marks) - rows.total(added) / rows.marks)

    return Sum(
        f"log2(marks) - arraySum(k -> if(k = 1, 0, k * log2(k) - (k - 1) * log2(k - 1)),"
        f" arrayEnumerateUniq({ARRAYS[name]})) / marks",
        of,
    )


def _weeks(rows: MarkRows) -> Sums:
    week = (rows.as_of_ms - rows.times) // (7 * DAY_MS)
    first = np.ones(len(week), dtype=bool)
    first[1:] = (week[1:] != week[:-1]) | (rows.at[1:] != rows.at[:-1])
    return rows.count(first & rows.since(WEEKS * 7))


def _later(rows: MarkRows) -> Sums:
    after = rows.times - rows.least(rows.times)[rows.at]
    return rows.count((after > DAY_MS // 2) & (after <= 61 * DAY_MS // 2))


_AREA = f"intDiv((number - {FIRST}) % 10000000000, 10000000)"
_WEEK_MS = 7 * DAY_MS

SUMS: dict[str, Sum] = {
    "first_ms": Sum("arrayElement(times, -1)", lambda rows: rows.least(rows.times)),
    "last_ms": Sum("arrayElement(times, 1)", lambda rows: rows.nth(rows.times, 1)),
    **{f"marks_{days}d": _since(days) for days in MARK_WINDOWS_DAYS},
    **{f"decayed_{days}d": _narrow(_decayed(days)) for days in DECAY_DAYS},
    **{f"decayed_{days}v": _narrow(_decayed_by_volume(days)) for days in VOLUME_DECAY_DAYS},
    "first_volume_age": _narrow(
        Sum("arrayReduce('max', volume_ages)", lambda rows: rows.most(rows.volume_ages))
    ),
    "last_volume_age": _narrow(
        Sum("arrayReduce('min', volume_ages)", lambda rows: rows.least(rows.volume_ages))
    ),
    "day_weighted": _narrow(
        Sum("marks + excesses", lambda rows: rows.marks + rows.total(rows.excesses))
    ),
    "origin_known": _narrow(
        Sum(
            "arrayCount(origin -> origin != 0, origins_in_order) / marks",
            lambda rows: rows.count(rows.values("origin") != 0) / rows.marks,
        )
    ),
    "call_proof": _narrow(
        Sum("calls / marks", lambda rows: rows.count(rows.has_call) / rows.marks)
    ),
    "weekend": _narrow(
        Sum(
            "arrayCount(d -> (d + 4) % 7 = 0 OR (d + 4) % 7 = 6, mark_days) / marks",
            lambda rows: rows.count((rows.days + 4) % 7 % 6 == 0) / rows.marks,
        )
    ),
    "same_area": _narrow(
        Sum(
            f"arrayCount(origin -> origin = {_AREA}, origins_in_order) / marks",
            lambda rows: rows.count(rows.values("origin") == rows.area) / rows.marks,
        )
    ),
    "origin_entropy": _narrow(_entropy("origin")),
    "label_entropy": _narrow(_entropy("label")),
    "day_entropy": _narrow(_entropy("day")),
    **{f"nth_{n}_ms": _nth(n) for n in NTH_MARKS},
    **{f"{entity}s": _seen(entity) for entity in ENTITIES},
    **{
        f"{entity}s_{days}d": _seen_since(days, entity)
        for entity in WINDOWED_ENTITIES
        for days in MARK_WINDOWS_DAYS
    },
    "origin_top": _top("origin"),
    "days": _seen("day"),
    **{f"days_{days}d": _seen_since(days, "day") for days in MARK_WINDOWS_DAYS},
    "weeks": Sum(
        f"arrayUniq(arrayMap(time -> intDiv(%(as_of)s - time, {_WEEK_MS}),"
        f" arrayFilter(time -> time > %(as_of)s - {WEEKS * _WEEK_MS}, times)))",
        _weeks,
    ),
    "top_day": _top("day"),
    "last_day": Sum(
        "toUInt32(countEqual(mark_days, arrayElement(mark_days, 1)))",
        lambda rows: rows.count(rows.days == rows.nth(rows.days, 1)[rows.at]),
    ),
    "gap_max_ms": Sum("toInt64(arrayReduce('max', gaps))", lambda rows: rows.most(rows.gaps)),
    "gap_last_ms": Sum("toInt64(arrayElement(gaps, 1))", lambda rows: rows.nth(rows.gaps, 1)),
    "gap_squares": Sum(
        f"arraySum(gap -> pow(gap / {DAY_MS}, 2), gaps)",
        lambda rows: rows.total((rows.gaps / DAY_MS) ** 2),
    ),
    "later": Sum(
        f"arrayCount(time -> time > first_ms + {DAY_MS // 2}"
        f" AND time <= first_ms + {61 * DAY_MS // 2}, times)",
        _later,
    ),
}


def sums(rows: MarkRows) -> dict[str, Sums]:
    """`number` ascending, `marks` and SUMS, (n,) each."""
    return {
        "number": rows.numbers,
        "marks": rows.marks,
        **{name: one.of(rows) for name, one in SUMS.items()},
    }

"""Groups of rows by number and day, as small integers."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.cli.cdr.times import CHINA_MS, DAY_MS

I64 = npt.NDArray[np.int64]
DAY_BITS = 27
"""A day has fewer than 2^27 milliseconds; the rest keeps groups further apart than any window."""


def codes(values: I64) -> tuple[I64, I64]:
    """Each value as its place among the distinct ones, and these, in order of appearance."""
    encoded = pc.dictionary_encode(pa.array(values))
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_numpy()


def ranked(values: I64) -> tuple[I64, I64]:
    """Each value as its place among the distinct ones, and these, ascending."""
    place, found = codes(values)
    order = np.argsort(found)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[place], found[order]


def coded(number: I64, day: I64) -> tuple[I64, I64, I64]:
    """The group of each row by number and day, and number and day of each group, ascending."""
    groups, numbers = ranked(np.ascontiguousarray(number))
    first = int(day.min()) if len(day) else 0
    span = int(day.max(initial=first)) - first + 1
    if span == 1:
        return groups, numbers, np.full(len(numbers), first, dtype=np.int64)
    groups, keys = ranked(groups * span + (day - first))
    return groups, numbers[keys // span], keys % span + first


def sorted_groups(groups: I64, started_ms: I64) -> tuple[I64, I64]:
    """Order of the rows by group and time within the day in China, and their ascending keys."""
    key = (groups << DAY_BITS) | ((started_ms + CHINA_MS) % DAY_MS)
    order = np.argsort(key)
    return order, key[order]


def distinct(groups: I64, values: npt.NDArray[np.uint64], count: int) -> I64:
    """Distinct values but 0 in each of `count` groups; fast where neighbours are alike, (count,).

    Args:
        groups: ascending.
        values: of each row.
    """
    fresh = values != 0
    fresh[1:] &= (values[1:] != values[:-1]) | (groups[1:] != groups[:-1])
    rows = np.flatnonzero(fresh)
    result = np.bincount(groups[rows], minlength=count)
    several = rows[result[groups[rows]] > 1]
    if not len(several):
        return result
    place, _ = codes(values[several].view(np.int64))
    pairs = np.sort((groups[several] << 31) | place)
    again = pairs[1:][pairs[1:] == pairs[:-1]]
    return result - np.bincount(again >> 31, minlength=count)

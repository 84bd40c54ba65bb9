"""Groups of rows by number and day, as small integers."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.cli.cdr.times import CHINA_MS, DAY_MS

I64 = npt.NDArray[np.int64]
DAY_BITS = 27
"""A day has fewer than 2^27 milliseconds; the rest keeps groups further apart than any window."""

SHORT_GROUP = 16
"""Up to so many rows, comparing all with all is faster than sorting; measured."""


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
        count: of groups.
    """
    fresh = values != 0
    fresh[1:] &= (values[1:] != values[:-1]) | (groups[1:] != groups[:-1])
    rows = np.flatnonzero(fresh)
    return variety(groups[rows], values[rows], count)[0]


def variety(groups: I64, values: npt.NDArray[Any], count: int) -> tuple[I64, I64]:
    """Distinct values of each group and how often the most frequent one comes; both (count,).

    Args:
        groups: ascending.
        values: of each row, 64-bit integers.
        count: of groups.
    """
    size = np.bincount(groups, minlength=count)
    most = np.zeros(count, dtype=np.int64)
    in_short = (size <= SHORT_GROUP)[groups]
    # In short groups each row is held against those before it; the others are sorted.
    before = np.arange(len(groups)) - (np.cumsum(size) - size)[groups]
    same = np.zeros(len(groups), dtype=np.uint8)
    rows = np.flatnonzero(in_short)
    for back in range(1, SHORT_GROUP):
        rows = rows[before[rows] >= back]
        same[rows] += values[rows] == values[rows - back]
    result = np.bincount(groups[in_short & (same == 0)], minlength=count)
    filled = np.flatnonzero(size)
    if len(filled):
        most[filled] = np.maximum.reduceat(same, np.flatnonzero(before == 0)) + np.int64(1)
    rows = np.flatnonzero(~in_short)
    if len(rows):
        place, _ = codes(values[rows].view(np.int64))
        pairs = np.sort((groups[rows] << 31) | place)
        first = np.flatnonzero(np.append(True, pairs[1:] != pairs[:-1]))
        group = pairs[first] >> 31
        result += np.bincount(group, minlength=count)
        heads = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
        times = np.diff(np.append(first, len(pairs)))
        most[group[heads]] = np.maximum.reduceat(times, heads)
    return result, most

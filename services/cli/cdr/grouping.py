"""Groups of rows by number and day, as small integers."""

import numpy as np
import numpy.typing as npt

from services.cli.cdr.times import CHINA_MS, DAY_MS
from services.common.numbering.keys import e164_key

I64 = npt.NDArray[np.int64]
FIRST = e164_key(0)
DAY_BITS = 27
"""A day has fewer than 2^27 milliseconds; the rest keeps groups further apart than any window."""

NARROW_BITS = 45
"""What a number takes in `narrowed`; of 62, 17 are left for groups."""


def ordered(keys: I64, bits: int) -> tuple[I64, I64]:
    """Order of the rows by key, and the ascending keys, (n,) each.

    Where a key and its row have room in one integer, these are sorted: half the time of sorting
    rows by their keys.

    Args:
        keys: of each row, not negative where they have fewer than 64 bits.
        bits: of the largest possible key.
    """
    of_row = len(keys).bit_length()
    if bits + of_row > 63:
        order = np.argsort(keys)
        return order, keys[order]
    both = (keys << of_row) | np.arange(len(keys))
    both.sort()
    return both & ((1 << of_row) - 1), both >> of_row


def ranked(keys: I64, bits: int) -> tuple[I64, I64]:
    """Each key as its place among the distinct ones, ascending, and a row of each of these.

    Args:
        keys, bits: as of `ordered`.
    """
    order, ascending = ordered(keys, bits)
    first = heads(ascending)
    place = np.empty(len(keys), dtype=np.int64)
    place[order] = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(keys))))
    return place, order[first]


def narrowed(numbers: I64) -> I64:
    """Each key of a number in NARROW_BITS bits, in the same order, in one array, (n,).

    E.164 numbers of up to thirteen digits are their digits; the others, as short numbers are, have
    their places among all that are left.
    """
    found = numbers - FIRST
    wide = np.flatnonzero(found.view(np.uint64) >= 1 << (NARROW_BITS - 1))
    if len(wide):
        found[wide] = ranked(found[wide], 64)[0] + (1 << (NARROW_BITS - 1))
    return found


def coded(number: I64, day: I64) -> tuple[I64, I64, I64]:
    """The group of each row by number and day, and number and day of each group, ascending."""
    groups, rows = ranked(narrowed(number), NARROW_BITS)
    first = int(day.min()) if len(day) else 0
    span = int(day.max(initial=first)) - first + 1
    if span > 1:
        groups, rows = ranked(groups * span + (day - first), (len(rows) * span).bit_length())
    return groups, number[rows], day[rows]


def sorted_groups(groups: I64, started_ms: I64, count: int) -> tuple[I64, I64]:
    """Order of the rows by group, of `count`, and time within the day in China, and their
    ascending keys."""
    key = (groups << DAY_BITS) | ((started_ms + CHINA_MS) % DAY_MS)
    return ordered(key, count.bit_length() + DAY_BITS)


def heads(groups: I64) -> I64:
    """Where each group begins among ascending ones, (g,)."""
    return np.flatnonzero(np.append(True, groups[1:] != groups[:-1])[: len(groups)])


def distinct(groups: I64, values: npt.NDArray[np.uint64], count: int) -> I64:
    """Distinct values but 0 in each of `count` groups, (count,).

    Args:
        groups: ascending.
        values: hashes, of which as many of the upper bits are compared as there is room for.
        count: of groups.
    """
    values = np.ascontiguousarray(values)
    fresh = values != 0
    fresh[1:] &= (values[1:] != values[:-1]) | (groups[1:] != groups[:-1])
    rows = np.flatnonzero(fresh)
    bits = 63 - count.bit_length()
    upper = (values[rows] >> np.uint64(64 - bits)).view(np.int64)
    pairs = np.sort((groups[rows] << bits) | upper)
    return np.bincount(pairs[heads(pairs)] >> bits, minlength=count)


def variety(groups: I64, numbers: I64, count: int) -> tuple[I64, I64]:
    """Distinct numbers of each group and how often the most frequent one comes; both (count,).

    Args:
        groups: ascending.
        numbers: keys, of each row.
        count: of groups.
    """
    pairs, bits = paired(groups, numbers, count)
    pairs.sort()
    first = heads(pairs)
    group = pairs[first] >> bits
    most = np.zeros(count, dtype=np.int64)
    if len(first):
        starts = heads(group)
        times = np.diff(np.append(first, len(pairs)))
        most[group[starts]] = np.maximum.reduceat(times, starts)
    return np.bincount(group, minlength=count), most


def paired(groups: I64, numbers: I64, count: int) -> tuple[I64, int]:
    """Each group with each number in 62 bits, (n,), and how many of the lower ones the number has.

    Args:
        groups: of each row, below `count`.
        numbers: keys, of each row.
        count: of groups.
    """
    bits, of_number = NARROW_BITS, narrowed(numbers)
    if count > 1 << (62 - bits):
        bits, of_number = len(numbers).bit_length(), ranked(numbers, 64)[0]
    return (groups << bits) | of_number, bits

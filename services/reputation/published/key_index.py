"""Finding keys in a sorted set: a directory of zones over dense buckets of some eight keys. Pure.

A bucket is `key >> shift`. Buckets near each other form a zone, in which every bucket has an entry
even if it is empty, so that finding one is arithmetic; far ones begin another zone. A key itself is
kept as its low bits: 2 bytes where a bucket spans no more than 65,536 numbers.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]

ROWS_PER_BUCKET = 8
MAX_GAP = 16
"""So many empty buckets are kept rather than a new zone begun."""
CHUNK = 1 << 14
"""Keys looked up at a time, so that scratch arrays stay in the cache."""
_SHIFTS = range(0, 60, 1)


@dataclass(frozen=True)
class KeyIndex:
    """A sorted set of n distinct positive keys.

    Attributes:
        shift: of a bucket.
        first: int64 (z,), first bucket of each zone, ascending.
        offset: int64 (z + 1,), place of each zone's first bucket in `starts`.
        starts: uint32 (b + 1,), first row of each bucket.
        low: (n,), lowest bits of each key, uint16, uint32 or uint64, at least `shift` of them.
    """

    shift: int
    first: I64
    offset: I64
    starts: npt.NDArray[np.uint32]
    low: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.low)

    @cached_property
    def _shifts(self) -> I64:
        """What leads from a bucket of each zone to its place in `starts`, int64 (z,)."""
        return self.offset[:-1] - self.first

    def find(self, keys: I64) -> I64:
        """The row of each key, int64 (m,); -1 where there is none."""
        found = np.full(len(keys), -1, dtype=np.int64)
        if len(self.low):
            for start in range(0, len(keys), CHUNK):
                self._find(keys[start : start + CHUNK], found[start : start + CHUNK])
        return found

    def _find(self, keys: I64, found: I64) -> None:
        bucket = keys >> self.shift
        zone = self.first.searchsorted(bucket, side="right") - 1
        dense = bucket + self._shifts.take(zone, mode="clip")
        inside = (zone >= 0) & (dense < self.offset.take(zone + 1, mode="clip"))
        np.multiply(dense, inside, out=dense)
        at = self.starts.take(dense).astype(np.int64)
        end = self.starts.take(dense + 1).astype(np.int64)
        low, last = keys.astype(self.low.dtype), len(self.low) - 1
        step = 1 << max(int((end - at).max(initial=0)).bit_length() - 1, 0)
        while step > ROWS_PER_BUCKET:  # lower bound by halves; few buckets are as full as that
            few = np.flatnonzero(at <= end - step)
            at[few[self.low.take(at[few] + (step - 1)) < low[few]]] += step
            step >>= 1
        while step:
            ahead = self.low[step - 1 :].take(at, mode="clip") < low
            ahead &= at <= end - step
            at += np.multiply(ahead, step, dtype=np.int64)
            step >>= 1
        hit = inside & (at < end)
        np.minimum(at, last, out=at)
        hit &= self.low.take(at) == low
        found[hit] = at[hit]

    def find_one(self, key: int) -> int:
        """The row of a key; -1 where there is none."""
        bucket = key >> self.shift
        zone = int(self.first.searchsorted(bucket, side="right")) - 1
        if zone < 0:
            return -1
        dense = bucket - int(self.first[zone]) + int(self.offset[zone])
        if dense >= int(self.offset[zone + 1]):
            return -1
        start, end = int(self.starts[dense]), int(self.starts[dense + 1])
        low = key & ((1 << (8 * self.low.dtype.itemsize)) - 1)
        at = start + int(self.low[start:end].searchsorted(self.low.dtype.type(low)))
        return at if at < end and int(self.low[at]) == low else -1

    def rank(self, key: int) -> int:
        """How many keys are smaller."""
        bucket = key >> self.shift
        zone = int(self.first.searchsorted(bucket, side="right")) - 1
        if zone < 0:
            return 0
        dense = bucket - int(self.first[zone]) + int(self.offset[zone])
        if dense >= int(self.offset[zone + 1]):
            return int(self.starts[self.offset[zone + 1]])
        start, end = int(self.starts[dense]), int(self.starts[dense + 1])
        low = key & ((1 << (8 * self.low.dtype.itemsize)) - 1)
        return start + int(self.low[start:end].searchsorted(self.low.dtype.type(low)))

    def keys(self, start: int = 0, end: int | None = None) -> I64:
        """Keys of the rows from start to end, ascending."""
        end = len(self.low) if end is None else min(end, len(self.low))
        if end <= start:
            return np.zeros(0, dtype=np.int64)
        head = int(self.starts.searchsorted(np.uint32(start), side="right")) - 1
        tail = int(self.starts.searchsorted(np.uint32(end - 1), side="right"))
        bounds = self.starts[head : tail + 1].astype(np.int64).clip(start, end)
        dense = np.repeat(np.arange(head, tail), np.diff(bounds))
        zone = self.offset.searchsorted(dense, side="right") - 1
        bucket = self.first[zone] + (dense - self.offset[zone])
        return (bucket << self.shift) | (self.low[start:end] & ((1 << self.shift) - 1)).astype(
            np.int64
        )

    def keys_of(self, rows: I64) -> I64:
        """Keys of any rows, in their order."""
        dense = self.starts.searchsorted(rows.astype(np.uint32), side="right") - 1
        zone = self.offset.searchsorted(dense, side="right") - 1
        bucket = self.first[zone] + (dense - self.offset[zone])
        return (bucket << self.shift) | (self.low[rows] & ((1 << self.shift) - 1)).astype(np.int64)


def build(keys: I64) -> KeyIndex:
    """Index distinct positive keys, ascending."""
    shift = _shift_for(keys)
    width = np.uint16 if shift <= 16 else (np.uint32 if shift <= 32 else np.uint64)
    bucket = keys >> shift
    new = np.flatnonzero(np.diff(bucket, prepend=-1))
    distinct = bucket[new]
    gap = np.diff(distinct, prepend=distinct[:1])
    zone_at = np.flatnonzero(gap > MAX_GAP + 1)
    zone_at = np.append(np.zeros(min(len(keys), 1), dtype=np.int64), zone_at)
    first = distinct[zone_at]
    last = distinct[np.append(zone_at[1:], len(distinct)) - 1] if len(zone_at) else first
    offset = np.append(0, np.cumsum(last - first + 1)).astype(np.int64)
    zone = np.repeat(np.arange(len(first)), np.diff(np.append(zone_at, len(distinct))))
    counts = np.zeros(int(offset[-1]) + 1, dtype=np.uint32)
    counts[offset[zone] + distinct - first[zone] + 1] = np.diff(np.append(new, len(keys)))
    starts = np.cumsum(counts, dtype=np.uint32)
    return KeyIndex(shift, first, offset, starts, keys.astype(width))


def _shift_for(keys: I64) -> int:
    """The smallest shift at which the directory has at most an entry for every eight keys."""
    if len(keys) < 2:
        return 0
    wanted = max(len(keys) // ROWS_PER_BUCKET, 1)
    low, high = _SHIFTS[0], _SHIFTS[-1]
    while low < high:
        middle = (low + high) // 2
        gaps = np.diff(keys >> middle)
        if int(np.minimum(gaps, MAX_GAP + 1).sum()) <= wanted:
            high = middle
        else:
            low = middle + 1
    return low

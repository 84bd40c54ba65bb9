"""Numbers by the SHA-256 of their canonical form, for private lookup."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.common.numbering import format_keys

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
BUCKETS = 1 << 16
"""By the first two bytes of the hash: no prefix may be shorter."""
SORTED_FROM = 1 << 16
"""A table of so many rows lists them by bucket; a smaller one is searched through."""
BUCKETS_AT_ONCE = 1 << 12
ROW_BITS = 16
"""Low bits of a row that are kept as they are; best where a bucket has a row in each 2**16."""


@dataclass(frozen=True)
class HashBuckets:
    """The bucket of each row of a table.

    Rows of a large table are listed by bucket, ascending in each, as Elias-Fano codes (Elias 1974,
    Fano 1971): 2.25 bytes a row, where a row's number has four.

    Attributes:
        heads: uint16 (n,), first two bytes of each row's hash; of a large table empty.
        low: uint16 (n,), of a large table the low bits of each row that is listed.
        high: uint8, eight bits each, from the lowest: of each bucket and each `row >> 16` a 1 for
            each such row, then a 0.
        starts: uint32 (65,537,), where each bucket begins in `low`.
    """

    heads: U16
    low: U16
    high: U8
    starts: U32

    def find(self, head: int) -> I64:
        """Rows of a bucket, ascending."""
        if len(self.starts) == 0:
            return np.flatnonzero(self.heads == head)
        return self._listed(head, head + 1)[1]

    def by_row(self) -> U16:
        """The first two bytes of each row's hash, (n,)."""
        if len(self.starts) == 0:
            return self.heads
        heads = np.empty(len(self.low), dtype=np.uint16)
        for first in range(0, BUCKETS, BUCKETS_AT_ONCE):
            bucket, rows = self._listed(first, first + BUCKETS_AT_ONCE)
            heads[rows] = bucket
        return heads

    def is_sound(self) -> bool:
        """Whether the codes of a large table name in each bucket as many rows as begin there."""
        for first in range(0, BUCKETS, BUCKETS_AT_ONCE):
            end = first + BUCKETS_AT_ONCE
            if len(self._ones(first, end)) != int(self.starts[end]) - int(self.starts[first]):
                return False
            _, rows = self._listed(first, end)
            if len(rows) and not 0 <= rows.min() <= rows.max() < len(self.low):
                return False
        return True

    def _listed(self, first: int, end: int) -> tuple[I64, I64]:
        """Of some buckets in turn: the bucket of each row listed, and the row."""
        starts = self.starts[first : end + 1].astype(np.int64)
        bucket = np.repeat(np.arange(end - first), np.diff(starts))
        ones = self._ones(first, end)
        high = ones - np.arange(len(ones)) - bucket * blocks(len(self.low))
        return bucket + first, high << ROW_BITS | self.low[starts[0] : starts[-1]]

    def _ones(self, first: int, end: int) -> I64:
        """Where in `high` the ones of some buckets are, counted from where those begin."""
        zeros = blocks(len(self.low))
        a, b = (int(self.starts[at]) + at * zeros for at in (first, end))
        bits = np.unpackbits(self.high[a >> 3 : (b + 7) >> 3], bitorder="little")
        return np.flatnonzero(bits[a & 7 : (a & 7) + b - a])


def blocks(count: int) -> int:
    """How many values `row >> ROW_BITS` has among so many rows."""
    return (count + (1 << ROW_BITS) - 1) >> ROW_BITS


def buckets(heads: U16) -> HashBuckets:
    """Buckets of rows with those first two bytes."""
    if len(heads) < SORTED_FROM:
        return HashBuckets(heads, heads[:0], np.zeros(0, np.uint8), np.zeros(0, np.uint32))
    zeros = blocks(len(heads))
    starts = np.zeros(BUCKETS + 1, dtype=np.uint32)
    np.cumsum(np.bincount(heads, minlength=BUCKETS), out=starts[1:])
    rows = np.argsort(heads, kind="stable")
    bits = np.zeros(len(heads) + BUCKETS * zeros, dtype=bool)
    bits[heads[rows] * np.int64(zeros) + (rows >> ROW_BITS) + np.arange(len(rows))] = True
    high = np.packbits(bits, bitorder="little")
    return HashBuckets(heads[:0], rows.astype(np.uint16), high, starts)


def heads_of(numbers: I64) -> U16:
    """First two bytes of the hash of each number, big-endian, (n,)."""
    sha256 = hashlib.sha256
    heads = b"".join([sha256(text.encode()).digest()[:2] for text in format_keys(numbers)])
    return np.frombuffer(heads, dtype=">u2").astype(np.uint16)


def hash_of(number: str) -> bytes:
    """SHA-256 of a number in canonical form."""
    return hashlib.sha256(number.encode()).digest()

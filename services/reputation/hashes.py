"""Numbers by the SHA-256 of their canonical form, for private lookup."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.common.numbering import format_keys

I64 = npt.NDArray[np.int64]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
BUCKETS = 1 << 16
"""By the first two bytes of the hash: no prefix may be shorter."""
SORTED_FROM = 1 << 16
"""A table of so many rows lists them by bucket; a smaller one is searched through."""


@dataclass(frozen=True)
class HashBuckets:
    """The bucket of each row of a table.

    Attributes:
        heads: uint16 (n,), first two bytes of each row's hash; of a large table empty.
        rows: uint32 (n,), rows of a large table by bucket, ascending in each.
        starts: uint32 (65,537,), where each bucket begins in `rows`.
    """

    heads: U16
    rows: U32
    starts: U32

    def find(self, head: int) -> I64:
        """Rows of a bucket, ascending."""
        if len(self.starts) == 0:
            return np.flatnonzero(self.heads == head)
        start, end = int(self.starts[head]), int(self.starts[head + 1])
        return self.rows[start:end].astype(np.int64)

    def by_row(self) -> U16:
        """The first two bytes of each row's hash, (n,)."""
        if len(self.starts) == 0:
            return self.heads
        heads = np.empty(len(self.rows), dtype=np.uint16)
        heads[self.rows] = np.repeat(np.arange(BUCKETS, dtype=np.uint16), np.diff(self.starts))
        return heads


def buckets(heads: U16) -> HashBuckets:
    """Buckets of rows with those first two bytes."""
    nothing = np.zeros(0, dtype=np.uint32)
    if len(heads) < SORTED_FROM:
        return HashBuckets(heads, nothing, nothing)
    starts = np.zeros(BUCKETS + 1, dtype=np.uint32)
    np.cumsum(np.bincount(heads, minlength=BUCKETS), out=starts[1:])
    rows = np.argsort(heads, kind="stable").astype(np.uint32)
    return HashBuckets(np.zeros(0, dtype=np.uint16), rows, starts)


def heads_of(numbers: I64) -> U16:
    """First two bytes of the hash of each number, big-endian, (n,)."""
    sha256 = hashlib.sha256
    heads = b"".join([sha256(text.encode()).digest()[:2] for text in format_keys(numbers)])
    return np.frombuffer(heads, dtype=">u2").astype(np.uint16)


def hash_of(number: str) -> bytes:
    """SHA-256 of a number in canonical form."""
    return hashlib.sha256(number.encode()).digest()

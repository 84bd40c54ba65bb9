"""Rows of the feed and how states of them change. Pure."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.places import I64, place

Rows = npt.NDArray[Any]
"""Array of ROW, ascending by number, each number once."""

ROW = np.dtype(
    [
        ("number", "<i8"),
        ("category", "<u2"),
        ("probability", "u1"),
        ("risk", "u1"),
        ("level", "u1"),
        ("state", "u1"),
        ("marks", "<u2"),
    ]
)
"""16 bytes: the number's key; category id; probability and risk in percent; level; state; marks
rounded down to one of MARK_STEPS."""

VALUE = np.dtype("<u8")
"""The 8 bytes of a row after the number."""

MARK_STEPS = np.array(
    [0, *(factor * 10**power for power in range(5) for factor in (1, 2, 5))], dtype=np.uint16
)
"""0, 1, 2, 5, 10, ... 50,000: coarse, so that a further mark seldom changes the feed."""

BUCKET_BITS = 16
"""Numbers that differ only in this many lowest bits of their key are hashed together."""

_BUCKET = np.dtype([("bucket", "<i8"), ("sha256", "V32")])
EMPTY: Rows = np.zeros(0, dtype=ROW)


def values_of(rows: Rows) -> npt.NDArray[np.uint64]:
    """The 8 bytes after each number as one integer, (n,)."""
    return np.ascontiguousarray(rows).view(VALUE).reshape(-1, 2)[:, 1]


def round_marks(counts: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """Counts rounded down to MARK_STEPS."""
    return MARK_STEPS[np.searchsorted(MARK_STEPS, counts, side="right") - 1]


def updated(rows: Rows, removals: I64, additions: Rows) -> Rows:
    """Rows without `removals` and with `additions` over them.

    Args:
        removals: numbers ascending; those that are not there are ignored.
        additions: rows ascending, each number once.
    """
    keep = np.ones(len(rows), dtype=bool)
    gone = np.union1d(removals, additions["number"])
    at, there = place(rows["number"], gone)
    keep[at[there]] = False
    kept = rows[keep]
    at = np.searchsorted(kept["number"], additions["number"]) + np.arange(len(additions))
    result = np.empty(len(kept) + len(additions), dtype=ROW)
    is_new = np.zeros(len(result), dtype=bool)
    is_new[at] = True
    result[at] = additions
    result[~is_new] = kept
    return result


@dataclass(frozen=True)
class Digest:
    """SHA-256 of a state, in two levels so that few changed numbers cost little.

    Rows are hashed together by bucket (`number >> BUCKET_BITS`): SHA-256 of their 16 bytes each.
    The state's digest is the SHA-256 of, for each bucket that has rows, ascending: the bucket as
    int64 little-endian and its 32 bytes.

    Attributes:
        buckets: array of (bucket, sha256), ascending.
    """

    buckets: npt.NDArray[Any]

    @classmethod
    def of(cls, rows: Rows) -> "Digest":
        """Hash a whole state."""
        return cls(_hash_buckets(rows))

    def updated(self, rows: Rows, touched: I64) -> "Digest":
        """The digest of `rows`, which differ from the state before in the numbers `touched`."""
        touched_buckets = np.unique(touched >> BUCKET_BITS)
        first = touched_buckets << BUCKET_BITS
        starts = np.searchsorted(rows["number"], first)
        ends = np.searchsorted(rows["number"], first | ((1 << BUCKET_BITS) - 1), side="right")
        parts = [rows[start:end] for start, end in zip(starts, ends, strict=True)]
        fresh = _hash_buckets(np.concatenate(parts)) if parts else np.zeros(0, dtype=_BUCKET)
        kept = self.buckets[~np.isin(self.buckets["bucket"], touched_buckets)]
        together = np.concatenate([kept, fresh])
        return Digest(together[np.argsort(together["bucket"], kind="stable")])

    @property
    def sha256(self) -> bytes:
        """32 bytes."""
        return hashlib.sha256(self.buckets.tobytes()).digest()


def _hash_buckets(rows: Rows) -> npt.NDArray[Any]:
    buckets = rows["number"] >> BUCKET_BITS
    starts = np.flatnonzero(np.diff(buckets, prepend=-1))
    bounds = (np.append(starts, len(rows)) * ROW.itemsize).tolist()
    content = np.ascontiguousarray(rows).view(np.uint8).data
    hashes = [
        hashlib.sha256(content[start:end]).digest()
        for start, end in zip(bounds[:-1], bounds[1:], strict=True)
    ]
    result = np.zeros(len(starts), dtype=_BUCKET)
    result["bucket"] = buckets[starts]
    result["sha256"] = np.frombuffer(b"".join(hashes), dtype="V32")
    return result

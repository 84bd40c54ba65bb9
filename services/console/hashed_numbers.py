"""Published mobile numbers by the SHA-1 of their eleven digits, for clients that send nothing else.

Services and files know SHA-256 only. What belongs to a SHA-1 is known at this edge: it keeps the
published mobile numbers by their hashes, from the feed, from the first question on.
"""

import hashlib
import threading
from dataclasses import dataclass

import grpc
import numpy as np
import numpy.typing as npt

from services.common.clock import Clock
from services.common.errors import Unavailable
from services.common.feed import files
from services.common.feed.head import read_head
from services.common.numbering import Kind, format_keys, kinds_of
from zhengming.reputation.v1 import feed_pb2, feed_pb2_grpc

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

HEX_DIGITS = 40
MIN_HEX_DIGITS = 4
"""16 bits, as for SearchHashPrefix."""
FRESH_MS = 2_000
"""A number published so long ago is found."""
CALL_S = 60
WAIT_S = 15
"""For the numbers to be hashed by another call; a million take about two seconds."""
_HEAD_DIGITS = 16
_NOTHING: I64 = np.zeros(0, dtype=np.int64)
_MOBILE = (Kind.CN_MOBILE, Kind.CN_MOBILE_SATELLITE)


def sha1_of(number: str) -> str:
    """SHA-1 of a mobile number, "+8613800138000", as apps hash it: of its eleven digits, in hex."""
    return hashlib.sha1(number[3:].encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class HashedNumbers:
    """Mobile numbers by hash.

    Attributes:
        heads: uint64 (n,), the first 8 bytes of each hash, ascending.
        keys: int64 (n,), the number of each.
    """

    heads: U64
    keys: I64

    @classmethod
    def of(cls, numbers: I64) -> "HashedNumbers":
        """Those of distinct numbers that are Chinese mobile ones."""
        keys = numbers[np.isin(kinds_of(numbers), _MOBILE)]
        hashes = (sha1_of(text) for text in format_keys(keys))
        heads = np.fromiter((int(text[:_HEAD_DIGITS], 16) for text in hashes), np.uint64, len(keys))
        order = np.argsort(heads, kind="stable")
        return cls(heads[order], keys[order])

    def updated(self, removals: I64, additions: I64) -> "HashedNumbers":
        """Without some numbers and with others; what is there already is not hashed anew."""
        kept = ~np.isin(self.keys, removals)
        heads, keys = self.heads[kept], self.keys[kept]
        fresh = HashedNumbers.of(np.setdiff1d(additions, keys))
        at = np.searchsorted(heads, fresh.heads)
        return HashedNumbers(np.insert(heads, at, fresh.heads), np.insert(keys, at, fresh.keys))

    def find(self, prefix: str) -> dict[str, str]:
        """Numbers by hash, ascending, of the hashes that begin with these 4 to 40 hex digits."""
        head = prefix[:_HEAD_DIGITS]
        first, last = int(head.ljust(_HEAD_DIGITS, "0"), 16), int(head.ljust(_HEAD_DIGITS, "f"), 16)
        start = np.searchsorted(self.heads, np.uint64(first), side="left")
        end = np.searchsorted(self.heads, np.uint64(last), side="right")
        found = {sha1_of(number): number for number in format_keys(self.keys[start:end])}
        return {sha1: found[sha1] for sha1 in sorted(found) if sha1.startswith(prefix)}


class PublishedHashes:
    """What is published now by hash, kept up with the feed; threads may share it."""

    def __init__(self, feed: feed_pb2_grpc.FeedServiceStub, clock: Clock) -> None:
        self._feed, self._clock = feed, clock
        self._lock = threading.Lock()
        self._version, self._checked_ms = "", 0
        self._numbers: HashedNumbers | None = None

    def find(self, prefix: str) -> dict[str, str]:
        """See HashedNumbers.find.

        Raises:
            Unavailable: NOT_READY, while the numbers are hashed for the first time.
        """
        if self._lock.acquire(timeout=0 if self._numbers else WAIT_S):
            try:
                if self._numbers is None or self._clock() - self._checked_ms >= FRESH_MS:
                    self._numbers = self._newest(self._numbers)
                    self._checked_ms = self._clock()
            finally:
                self._lock.release()
        if self._numbers is None:
            raise _not_ready()
        return self._numbers.find(prefix)

    def _newest(self, known: HashedNumbers | None) -> HashedNumbers:
        if known is None:
            return self._begin()
        asked = feed_pb2.ListUpdatesRequest(version=self._version)
        updates = self._feed.ListUpdates(asked, timeout=CALL_S)
        if updates.reset:
            return self._begin()
        removed = files.read_numbers(updates.removals) if updates.removals else _NOTHING
        added = files.read_rows(updates.additions)["number"] if updates.additions else _NOTHING
        self._version = read_head(updates.head.head).version
        return known.updated(removed, added) if len(removed) or len(added) else known

    def _begin(self) -> HashedNumbers:
        """From a snapshot, and what changed since it was made."""
        offered = self._feed.GetSnapshot(feed_pb2.GetSnapshotRequest(), timeout=CALL_S)
        asked = feed_pb2.DownloadSnapshotRequest(snapshot_id=offered.snapshot_id)
        try:
            pieces = self._feed.DownloadSnapshot(asked, timeout=CALL_S)
            content = b"".join(piece.chunk for piece in pieces)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:  # a newer one took its place
                raise _not_ready() from None
            raise
        self._version = read_head(offered.head.head).version
        return self._newest(HashedNumbers.of(files.read_rows(content)["number"]))


def _not_ready() -> Unavailable:
    return Unavailable("NOT_READY", "numbers are being hashed; try again")

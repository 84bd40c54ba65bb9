"""Numbers by the SHA-256 of their canonical form, for private lookup."""

import hashlib

import numpy as np
import numpy.typing as npt

from services.common.numbering import format_keys

I64 = npt.NDArray[np.int64]
HEAD_BYTES = 8


class HashIndex:
    """Numbers sorted by the first 8 bytes of their hash."""

    def __init__(self) -> None:
        self._heads = np.zeros(0, dtype=np.uint64)
        self._numbers = np.zeros(0, dtype=np.int64)
        self.version = 0

    def add(self, numbers: I64, version: int) -> None:
        """Add numbers; those that are there already change nothing."""
        hashes = [hash_of(text)[:HEAD_BYTES] for text in format_keys(numbers)]
        heads = np.frombuffer(b"".join(hashes), dtype=">u8").astype(np.uint64)
        heads, numbers = np.append(self._heads, heads), np.append(self._numbers, numbers)
        order = np.lexsort((numbers, heads))
        heads, numbers = heads[order], numbers[order]
        new = np.diff(numbers, prepend=-1) != 0  # equal numbers have equal hashes: neighbours
        self._heads, self._numbers, self.version = heads[new], numbers[new], version

    def find(self, prefix: bytes) -> list[tuple[bytes, int]]:
        """(hash, number) of all numbers whose hash begins so, by hash."""
        head = prefix[:HEAD_BYTES]
        low = int.from_bytes(head.ljust(HEAD_BYTES, b"\0"), "big")
        high = int.from_bytes(head.ljust(HEAD_BYTES, b"\xff"), "big")
        start = np.searchsorted(self._heads, np.uint64(low), side="left")
        end = np.searchsorted(self._heads, np.uint64(high), side="right")
        numbers = self._numbers[start:end]
        hashes = [hash_of(text) for text in format_keys(numbers)]
        found = zip(hashes, numbers.tolist(), strict=True)
        return sorted(pair for pair in found if pair[0].startswith(prefix))


def hash_of(number: str) -> bytes:
    """SHA-256 of a number in canonical form."""
    return hashlib.sha256(number.encode()).digest()

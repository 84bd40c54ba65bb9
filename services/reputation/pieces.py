"""Pieces of messages that many rows share, each encoded once."""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

MOST = 192
"""Bytes of a piece that are kept beside those of others; what is displayed of a number and why has
some 120 at most."""
_FEW = 256
"""Counts of marks below it are found without a dictionary."""


class Pieces:
    """Encoded pieces, each at a place that it keeps.

    Threads may read while one adds: what they read later has all earlier places, too.

    Attributes:
        list: the pieces.
        sizes: int64, of each in bytes, and room for more.
        padded: the same pieces as void, filled up to one size; what is longer than MOST is cut.
        is_any_cut: whether one is.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.list: list[bytes] = []
        self.sizes: I64 = np.zeros(0, dtype=np.int64)
        self.padded: npt.NDArray[Any] = np.zeros(0, dtype="V1")
        self.is_any_cut = False
        self.add(pieces)

    def add(self, pieces: Iterable[bytes]) -> None:
        """Put more pieces behind those that are there."""
        start, sizes, padded = len(self.list), self.sizes, self.padded
        self.list += pieces
        count = len(self.list)
        longest = max(map(len, self.list[start:]), default=0)
        width = max(padded.itemsize, min(longest, MOST))
        self.is_any_cut |= longest > MOST
        if count > len(sizes) or width > padded.itemsize:
            room = max(count, 2 * start)
            start, sizes = 0, np.zeros(room, dtype=np.int64)
            padded = np.zeros(room, dtype=f"V{width}")
        new = self.list[start:]
        sizes[start:count] = np.fromiter(map(len, new), np.int64, len(new))
        padded[start:count] = np.array(new, dtype=f"S{width}").view(padded.dtype)
        self.sizes, self.padded = sizes, padded


class Displays:
    """What is displayed of a kind of row with a count of marks, made when first asked for.

    Threads may share it.

    Args:
        kinds: how many.
        make: the piece of a kind and a count.
    """

    def __init__(self, kinds: int, make: Callable[[int, int], bytes]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._at: dict[tuple[int, int], int] = {}
        self._few = np.full((kinds, _FEW), -1, dtype=np.int64)
        self.pieces = Pieces([])

    def __len__(self) -> int:
        return len(self._at)

    def one(self, kind: int, marks: int) -> bytes:
        """A single display."""
        at = self._at.get((kind, marks))
        if at is None:
            at = self._add([(kind, marks)])[0]
        return self.pieces.list[at]

    def places(self, kinds: npt.NDArray[Any], marks: I64) -> I64:
        """Where each display is among the pieces, (n,)."""
        if marks.max(initial=0) < _FEW:
            at = self._few.take(kinds * np.int64(_FEW) + marks)
            if at.min(initial=0) >= 0:
                return at
        wanted = list(zip(kinds.tolist(), marks.tolist(), strict=True))
        try:
            found = [self._at[key] for key in wanted]
        except KeyError:
            found = self._add(wanted)
        return np.array(found, dtype=np.int64)

    def _add(self, wanted: list[tuple[int, int]]) -> list[int]:
        with self._lock:
            new = [key for key in dict.fromkeys(wanted) if key not in self._at]
            first = len(self.pieces.list)
            self.pieces.add([self._make(*key) for key in new])
            for at, (kind, marks) in enumerate(new, first):
                if marks < _FEW:
                    self._few[kind, marks] = at
                self._at[kind, marks] = at
            return [self._at[key] for key in wanted]


def put(content: U8, places: I64, values: npt.NDArray[Any]) -> None:
    """Write values at any bytes, in their order: where two overlap the later one stands.

    Args:
        content: (b,), what is written to.
        places: (n,), where each value begins; all of it is inside.
        values: (n,), of one size.
    """
    size = values.itemsize
    anywhere = np.ndarray(
        max(len(content) - size + 1, 0), dtype=f"V{size}", buffer=content, strides=(1,)
    )
    anywhere[places] = values.view(anywhere.dtype)


def put_pieces(
    content: U8, places: I64, pieces: Sequence[npt.NDArray[Any]], sizes: Sequence[I64], after: int
) -> None:
    """Write for each row a piece of each kind, one after the other.

    What a piece is filled up with lies over what follows, which is to be written later. Kind by
    kind, each as long as it is, they are written where that cannot reach a piece of the next row
    that is there already; else row by row, all of one length.

    Args:
        content: (b,), with room for the longest piece behind the last.
        places: (n,), ascending, where the first piece of each row begins.
        pieces: of each kind, (n,), filled up to one size.
        sizes: of each kind, (n,), without what they are filled up with.
        after: bytes at least from a row's last piece to the next row's first.
    """
    within = after
    for kind in range(len(pieces) - 1, 0, -1):
        within += int(sizes[kind].min(initial=pieces[kind].itemsize))
        if pieces[kind].itemsize > within:
            longest = max(of_kind.itemsize for of_kind in pieces)
            each = np.stack([of_kind.astype(f"V{longest}") for of_kind in pieces], axis=1)
            before = np.cumsum([np.zeros_like(places), *sizes[:-1]], axis=0)
            put(content, (places + before).T.ravel(), each.ravel())
            return
    at = places
    for of_kind, of_size in zip(pieces, sizes, strict=True):
        put(content, at, of_kind)
        at = at + of_size

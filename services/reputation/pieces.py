"""Pieces of messages that many rows share, each encoded once."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

I64 = npt.NDArray[np.int64]

_FEW = 256
"""Counts of marks below it are found without a dictionary."""


class Pieces:
    """Encoded entries of a dictionary.

    Attributes:
        list, all: the entries.
        sizes: their sizes in bytes.
    """

    list: list[bytes]
    all: pa.LargeBinaryArray
    sizes: I64

    def __init__(self, pieces: Iterable[bytes], after: "Pieces | None" = None) -> None:
        made = list(pieces)
        sizes = np.fromiter(map(len, made), np.int64, len(made))
        entries = pa.array(made, pa.large_binary())
        if after is not None:
            made = after.list + made
            sizes = np.append(after.sizes, sizes)
            entries = pa.concat_arrays([after.all, entries])
        self.list, self.sizes, self.all = made, sizes, entries

    def at(self, places: npt.NDArray[Any]) -> pa.LargeBinaryArray | pa.LargeBinaryScalar:
        """The entries at places, (n,); one for all of them where there is no other."""
        return self.all[0] if len(self.list) == 1 else self.all.take(pa.array(places))


class Displays:
    """What is displayed of a kind of row with a count of marks, made when first asked for.

    Threads may share it. Places stay what they are, so a later `all` serves an earlier place.
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
        few = marks < _FEW
        at = self._few[kinds, np.where(few, marks, 0)]
        if few.all() and (at >= 0).all():
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
            first = len(self._at)
            self.pieces = Pieces((self._make(*key) for key in new), self.pieces)
            for at, (kind, marks) in enumerate(new, first):
                if marks < _FEW:
                    self._few[kind, marks] = at
                self._at[kind, marks] = at
            return [self._at[key] for key in wanted]

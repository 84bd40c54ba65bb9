"""Rows put aside on disk, by a hash of number and day, so that each part fits into memory."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


def mixed(number: I64, day: I64) -> npt.NDArray[np.uint64]:
    """A hash of each pair (mixing of splitmix64, Steele et al. 2014), uint64 (n,)."""
    state = number.astype(np.uint64) + day.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


class Spill:
    """Files of rows of one type, a file a part."""

    def __init__(self, folder: Path, name: str, dtype: np.dtype[Any], count: int) -> None:
        self._dtype = dtype
        self._paths = [folder / f"{name}-{part}" for part in range(count)]
        self._files = [path.open("wb") for path in self._paths]

    def divide(self, rows: npt.NDArray[Any], day: I64) -> list[npt.NDArray[Any]]:
        """The rows of each part, by number and day; for `append`."""
        count = len(self._files)
        # The upper half of a hash times the count: a tenth of what dividing by it takes.
        part = ((mixed(rows["number"], day) >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32)
        part = part.astype(np.uint16)
        # `rows[...]` would take twenty times as long for rows of several fields.
        ordered = rows.take(np.argsort(part, kind="stable"))
        return np.split(ordered, np.cumsum(np.bincount(part, minlength=count))[:-1])

    def append(self, divided: list[npt.NDArray[Any]]) -> None:
        """Write rows of each part. By one thread only."""
        for file, rows in zip(self._files, divided, strict=True):
            if len(rows):
                file.write(rows.view(np.uint8).data)

    def finish(self) -> None:
        """Nothing more comes."""
        for file in self._files:
            file.close()

    def read(self, part: int) -> npt.NDArray[Any]:
        """All rows of a part."""
        return np.fromfile(self._paths[part], dtype=self._dtype)

    def drop(self, part: int) -> None:
        """Remove a part from the disk."""
        self._paths[part].unlink()

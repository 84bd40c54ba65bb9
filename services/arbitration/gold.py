"""Numbers whose category is known. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.arbitration.domain import I64


@dataclass(frozen=True)
class Gold:
    """Numbers whose category is known: rows ascending, and the place of each one's category."""

    row: I64
    place: I64

    @classmethod
    def of(cls, gold: Mapping[int, int]) -> "Gold":
        """From row -> place of the category."""
        rows = np.array(sorted(gold), dtype=np.int64)
        return cls(rows, np.array([gold[int(row)] for row in rows], dtype=np.int64))

    def fix(self, post: npt.NDArray[Any], first: int) -> None:
        """Make the rows of known numbers certain; `post` begins at number `first`."""
        low, high = np.searchsorted(self.row, [first, first + len(post)])
        rows = self.row[low:high] - first
        post[rows] = 0.0
        post[rows, self.place[low:high]] = 1.0

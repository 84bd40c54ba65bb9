"""Looking keys up in ascending columns."""

from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


def place(keys: npt.NDArray[Any], asked: npt.NDArray[Any]) -> tuple[I64, npt.NDArray[np.bool_]]:
    """Where each asked key stands in ascending keys, and whether it does; both (n,)."""
    if len(keys) == 0:
        return np.zeros(len(asked), dtype=np.int64), np.zeros(len(asked), dtype=bool)
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return at, keys[at] == asked

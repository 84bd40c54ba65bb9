"""Aggregates brought into line with numbers: columns float64 (n,)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common.numbering.keys import CLASS_SHIFT, E164
from services.common.places import place

DAY_MS = 86_400_000
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Aggregates = Mapping[str, npt.NDArray[Any]]
"""Columns by name, with an ascending key among them."""


FIRST = E164 << CLASS_SHIFT
"""The key of an E.164 number of no digits; what is above it are the digits."""


def blocks_of(numbers: I64, size: int) -> I64:
    """The block of `size` neighbouring numbers that each is in, (n,)."""
    return (numbers - FIRST) // size


def numbers_of(blocks: I64, size: int) -> I64:
    """The numbers of blocks of `size` neighbouring ones, (n * size,), ascending where these are."""
    return np.add.outer(blocks * size + FIRST, np.arange(size)).ravel()


def columns_of(table: pa.Table) -> dict[str, npt.NDArray[Any]]:
    """The columns of a table without texts or lists, by name."""
    return {name: table[name].to_numpy() for name in table.column_names}


def side_by_side(columns: Aggregates) -> dict[str, npt.NDArray[Any]]:
    """Columns of one type with the values of each row next to each other in memory: a row of a
    large table is one place then, not one for every column."""
    rows = np.stack(list(columns.values()), axis=1)
    return dict(zip(columns, rows.T, strict=True))


class Aligned:
    """The columns of a table at the places of ascending numbers, or of the blocks they are in."""

    def __init__(self, table: Aggregates, key: str, asked: I64) -> None:
        """Find the places once for all columns; `key` names the table's ascending column."""
        self._table = table
        self._at, self.found = place(np.asarray(table[key], dtype=np.int64), asked)
        self._absent = None if self.found.all() else ~self.found

    def column(self, name: str, absent: float) -> F64:
        """One column, (n,); `absent` where the table has no row."""
        values: F64 = self.columns((name,), absent)[0]
        return values

    def columns(self, names: Sequence[str], absent: float) -> F64:
        """Columns as rows, (names, n); `absent` where the table has no row."""
        if not len(self._table[names[0]]):
            return np.full((len(names), len(self._at)), absent, dtype=np.float64)
        values = np.array([self._table[name][self._at] for name in names], dtype=np.float64)
        if self._absent is not None:
            values[:, self._absent] = absent
        return values


def ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> F64:
    """part / whole, (n,) or (…, n); unknown where the whole is 0."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def age_days(as_of_ms: int, time_ms: F64) -> F64:
    """Days from times to a time, (n,); unknown where the time is 0."""
    return np.where(time_ms > 0, (as_of_ms - time_ms) / DAY_MS, np.nan)

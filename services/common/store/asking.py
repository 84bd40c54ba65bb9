"""How a statement asks for the rows of some numbers or blocks, and for the newest of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
FEW = 64
"""So many values are named in a statement; of more, parsing takes longer than reading a table."""


@dataclass(frozen=True)
class Among:
    """Values that a column of a statement is to be among.

    Attributes:
        sql: what follows IN.
        params, tables: of the statement.
    """

    sql: str
    params: Mapping[str, Any]
    tables: Mapping[str, Mapping[str, npt.NDArray[Any]]]

    @classmethod
    def of(cls, values: I64, name: str = "asked") -> "Among":
        """Those of an array, (n,), by a name in the statement."""
        if len(values) <= FEW:
            return cls(f"%({name})s", {name: values}, {})
        return cls(f"(SELECT value FROM {{{name}}})", {}, {name: {"value": values}})


def newest(table: str, columns: str, key: str, condition: str) -> str:
    """A statement for the newest rows of a ReplacingMergeTree(seq): of those keys alone that meet a
    condition, which is about columns that all rows of a key have in common.

    FINAL says the same, but 18.16 merges the rows of all keys before it asks for any.
    """
    return f"""
        SELECT {columns} FROM {table} PREWHERE {condition}
        ORDER BY seq DESC LIMIT 1 BY {key}
    """

"""How a statement names the numbers or blocks that it is asked about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from services.features.columns import I64

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
        """Those of an array, (n,), under a name that the statement has for nothing else."""
        if len(values) <= FEW:
            return cls(f"%({name})s", {name: values}, {})
        return cls(f"(SELECT value FROM {{{name}}})", {}, {name: {"value": values}})

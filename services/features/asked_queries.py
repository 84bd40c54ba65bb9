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
    def of(cls, values: I64) -> "Among":
        """Those of an array, (n,)."""
        if len(values) <= FEW:
            return cls("%(asked)s", {"asked": values}, {})
        return cls("(SELECT value FROM {asked})", {}, {"asked": {"value": values}})

"""Columns as clickhouse-driver takes them."""

from collections.abc import Mapping
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from services.common.store.columns import Columns, as_table, engine_type
from services.common.store.statement import checked_name


def external_tables(tables: Mapping[str, Columns] | None) -> list[dict[str, Any]]:
    """External tables as the driver takes them from numpy."""
    externals = []
    for name, columns in (tables or {}).items():
        table = as_table(columns)
        externals.append(
            {
                "name": checked_name(name),
                "structure": [(field.name, engine_type(field.type)) for field in table.schema],
                "data": {
                    field.name: SimpleNamespace(values=as_numpy(table[field.name]))
                    for field in table.schema
                },
            }
        )
    return externals


def as_numpy(column: "pa.ChunkedArray[Any]") -> "np.ndarray[Any, Any]":
    """A column of plain values."""
    values: np.ndarray[Any, Any] = column.to_numpy()
    return values


def as_list(column: "pa.ChunkedArray[Any]") -> list[Any]:
    """Python values; by way of numpy, which is several times faster than Arrow's to_pylist."""
    if not pa.types.is_list(column.type):
        values: list[Any] = column.to_numpy().tolist()
        return values
    nested: list[Any] = []
    for chunk in column.chunks:
        # flatten() begins at the chunk's first offset, which a slice has above 0.
        offsets = chunk.offsets.to_numpy()
        bounds = (offsets - offsets[0]).tolist()
        items = as_list(pa.chunked_array([chunk.flatten()]))
        nested += [items[begin:end] for begin, end in pairwise(bounds)]
    return nested

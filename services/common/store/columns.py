"""The plain Arrow types in which columns enter and leave the store."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from services.common.errors import InvalidArgument

Column: TypeAlias = "np.ndarray[Any, Any] | Sequence[Any] | pa.Array[Any]"
Columns: TypeAlias = Mapping[str, Column] | pa.Table

_PLAIN = {
    pa.int8(): "Int8",
    pa.int16(): "Int16",
    pa.int32(): "Int32",
    pa.int64(): "Int64",
    pa.uint8(): "UInt8",
    pa.uint16(): "UInt16",
    pa.uint32(): "UInt32",
    pa.uint64(): "UInt64",
    pa.float32(): "Float32",
    pa.float64(): "Float64",
    pa.string(): "String",
    pa.date32(): "Date",
}


def as_table(columns: Columns) -> pa.Table:
    """Columns as an Arrow table of plain types, none of them null.

    Args:
        columns: equally long numpy arrays, sequences or Arrow arrays by name, or a table.

    Raises:
        InvalidArgument: STORE_COLUMNS_INVALID, naming the column: unequal lengths, nulls, text
            that is no Unicode, or a type that the store does not keep.
    """
    arrays: dict[str, Any] = {}
    if isinstance(columns, pa.Table):
        arrays.update(zip(columns.column_names, columns.columns, strict=True))
    else:
        arrays.update((name, _as_array(name, values)) for name, values in columns.items())
    if len({len(array) for array in arrays.values()}) > 1:
        lengths = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
        raise _invalid(",".join(arrays), f"columns differ in length: {lengths}")
    fields = []
    for name, array in arrays.items():
        if array.null_count:
            raise _invalid(name, f"column {name} holds {array.null_count} nulls")
        wanted = plain_type(array.type)
        if wanted is None:
            raise _invalid(name, f"column {name} has type {array.type}, which is not stored")
        arrays[name] = array if wanted == array.type else array.cast(wanted)
        # chDB would read a nullable field as Nullable(…), and LEFT JOIN give NULL for it.
        fields.append(pa.field(name, wanted, nullable=False))
    return pa.table(arrays, schema=pa.schema(fields))


def plain(table: pa.Table) -> pa.Table:
    """A result with the types, names and nullability that both engines share.

    Raises:
        ValueError: a column's type differs between the engines (DateTime, Decimal, …); the
            statement should convert it, times to epoch milliseconds.
    """
    columns = table.columns
    for at, field in enumerate(table.schema):
        wanted = plain_type(field.type)
        if wanted is None:
            raise ValueError(f"result column {field.name} has type {field.type}: convert it in SQL")
        if wanted != field.type:
            columns[at] = columns[at].cast(wanted)
    return pa.Table.from_arrays(columns, names=table.column_names)  # each may hold nulls


def plain_type(arrow_type: pa.DataType) -> pa.DataType | None:
    """The plain type that holds an Arrow type's values; None if there is none."""
    if pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type):
        inner = plain_type(arrow_type.value_type)
        return None if inner is None else pa.list_(inner)
    if pa.types.is_dictionary(arrow_type):
        return plain_type(arrow_type.value_type)
    # An empty list carries no type; UInt8 is read into every numeric column.
    if pa.types.is_boolean(arrow_type) or pa.types.is_null(arrow_type):
        return pa.uint8()
    if pa.types.is_large_string(arrow_type) or pa.types.is_string_view(arrow_type):
        return pa.string()
    return arrow_type if arrow_type in _PLAIN else None


def engine_type(arrow_type: pa.DataType) -> str:
    """The engine's name of a plain type, `Array(UInt16)` for list<uint16>."""
    if pa.types.is_list(arrow_type):
        return f"Array({engine_type(arrow_type.value_type)})"
    return _PLAIN[arrow_type]


def _as_array(name: str, values: Column) -> "pa.Array[Any]":
    try:
        # NaN is a value here and no null.
        untyped: Any = values
        array: pa.Array[Any] = pa.array(untyped, from_pandas=False)
    except (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError) as error:
        kind = type(error).__name__
        raise _invalid(name, f"column {name} cannot become an Arrow array: {kind}") from None
    return array


def _invalid(columns: str, message: str) -> InvalidArgument:
    return InvalidArgument("STORE_COLUMNS_INVALID", message, columns=columns)

"""Rows of the feed as Parquet, which DuckDB, Spark, ClickHouse and pandas read as it is."""

import io
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from services.common.errors import InvalidArgument
from services.common.feed.rows import ROW, Rows
from services.common.places import I64

ROW_GROUP = 1 << 20
_TYPES = {
    "number": pa.int64(),
    "category": pa.uint16(),
    "probability": pa.uint8(),
    "risk": pa.uint8(),
    "level": pa.uint8(),
    "state": pa.uint8(),
    "marks": pa.uint16(),
}
SCHEMA = pa.schema([pa.field(name, kind, nullable=False) for name, kind in _TYPES.items()])
NUMBERS = pa.schema([SCHEMA.field("number")])


def write_rows(rows: Rows, file: IO[bytes] | str) -> None:
    """Write rows; the same rows give the same bytes."""
    columns = [pa.array(np.ascontiguousarray(rows[name])) for name in _TYPES]
    _write(pa.Table.from_arrays(columns, schema=SCHEMA), file)


def pack_rows(rows: Rows) -> bytes:
    """Rows as the bytes of a file."""
    file = io.BytesIO()
    write_rows(rows, file)
    return file.getvalue()


def pack_numbers(numbers: I64) -> bytes:
    """Numbers as the bytes of a file with one column."""
    file = io.BytesIO()
    _write(pa.Table.from_arrays([pa.array(numbers)], schema=NUMBERS), file)
    return file.getvalue()


def read_rows(file: bytes | str) -> Rows:
    """Rows of a file or its bytes.

    Raises:
        InvalidArgument: FILE_UNREADABLE, also where numbers do not ascend.
    """
    table = _read(file, SCHEMA)
    rows = np.empty(len(table), dtype=ROW)
    for name in _TYPES:
        rows[name] = table[name].to_numpy()
    _check_order(rows["number"])
    return rows


def read_numbers(file: bytes) -> I64:
    """Numbers of a file's bytes.

    Raises:
        InvalidArgument: FILE_UNREADABLE, also where numbers do not ascend.
    """
    numbers: I64 = _read(file, NUMBERS)["number"].to_numpy()
    _check_order(numbers)
    return numbers


def _write(table: pa.Table, file: IO[bytes] | str) -> None:
    values = [name for name in table.column_names if name != "number"]
    pq.write_table(
        table,
        file,
        row_group_size=ROW_GROUP,
        compression="zstd",
        compression_level=3,
        use_dictionary=values,
        column_encoding={"number": "DELTA_BINARY_PACKED"},
        write_statistics=["number"],
        store_schema=False,
    )


def _read(file: bytes | str, schema: pa.Schema) -> pa.Table:
    source = pa.BufferReader(file) if isinstance(file, bytes) else file
    try:
        table = pq.read_table(source, partitioning=None)
        is_ours = table.schema.equals(schema)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(str(error)) from None
    if not is_ours:
        raise _unreadable("it has other columns or types")
    if any(column.null_count for column in table.columns):
        raise _unreadable("it holds nulls")
    return table


def _check_order(numbers: I64) -> None:
    if len(numbers) and (numbers[0] <= 0 or not (np.diff(numbers) > 0).all()):
        raise _unreadable("its numbers are not positive and ascending")


def _unreadable(cause: str) -> InvalidArgument:
    return InvalidArgument(
        "FILE_UNREADABLE", f"this is no file of the feed: {cause}", file="feed", cause=cause
    )

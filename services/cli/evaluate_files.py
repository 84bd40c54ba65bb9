"""Columns of the evaluation's files: read as text, then as keys, times and numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from services.common import numbering
from services.common.errors import InvalidArgument

pc: Any = pyarrow.compute  # its stubs refuse columns of unknown type


def read_texts(path: Path, required: tuple[str, ...]) -> pa.Table:
    """A CSV (gzip by its ending) or Parquet file with every column as text.

    Raises:
        InvalidArgument: FILE_UNREADABLE, COLUMN_MISSING.
    """
    try:
        table = pq.read_table(path) if path.suffix == ".parquet" else _read_csv(path)
        table.validate(full=True)  # Parquet may hold texts that are no UTF-8
        names = table.column_names
        texts = [pc.fill_null(table[name].cast(pa.string()), "") for name in names]
    except (OSError, pa.ArrowException, UnicodeDecodeError, KeyError) as error:
        raise InvalidArgument("FILE_UNREADABLE", f"{path.name}: {error}", file=path.name) from error
    for name in required:
        if name not in names:
            raise InvalidArgument(
                "COLUMN_MISSING", f"{path.name} has no column {name!r}", file=path.name, column=name
            )
    return pa.table(dict(zip(names, texts, strict=True)))


def _read_csv(path: Path) -> pa.Table:
    with pa.input_stream(str(path)) as stream:
        names = stream.read(1 << 16).split(b"\n", 1)[0].decode("utf-8-sig").strip()
    columns = [name.strip('"') for name in names.split(",")]
    options = pacsv.ConvertOptions(
        column_types={name: pa.string() for name in columns}, strings_can_be_null=False
    )
    return pacsv.read_csv(path, convert_options=options)


def number_keys(column: Any) -> NDArray[np.int64]:
    """Canonical keys of raw numbers, 0 for what is no number; each writing is parsed once."""
    index, raws = encoded(column)
    keys = np.asarray(numbering.parse_column(raws, region="CN").keys, dtype=np.int64)
    return keys[index] if len(raws) else np.zeros(0, dtype=np.int64)


def encoded(column: Any) -> tuple[NDArray[np.int64], list[str]]:
    """A column of texts as positions in its list of distinct texts."""
    whole: Any = column.combine_chunks().dictionary_encode()
    return np.asarray(whole.indices).astype(np.int64), whole.dictionary.to_pylist()


def times_ms(column: Any, empty: int) -> NDArray[np.int64]:
    """ISO 8601 with offset, or epoch milliseconds, as epoch milliseconds; `empty` where empty.

    Raises:
        InvalidArgument: TIME_INVALID.
    """
    try:
        return _times_ms(column, empty)
    except pa.ArrowInvalid as error:
        cause = str(error).splitlines()[0][:200]
        raise InvalidArgument("TIME_INVALID", f"a time cannot be read: {cause}") from error


def _times_ms(column: Any, empty: int) -> NDArray[np.int64]:
    text: Any = column.combine_chunks()
    nothing: Any = pa.scalar(None, pa.string())
    whole_number: Any = pc.match_substring_regex(text, "^-?[0-9]+$")
    counted: Any = pc.if_else(whole_number, text, nothing)
    written: Any = pc.if_else(pc.or_(whole_number, pc.equal(text, "")), nothing, text)
    stamped: Any = written.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64())
    times: Any = pc.fill_null(pc.coalesce(counted.cast(pa.int64()), stamped), empty)
    return np.asarray(times, dtype=np.int64)


def floats(column: Any, empty: float) -> NDArray[np.float64]:
    """Decimal numbers; `empty` where empty.

    Raises:
        InvalidArgument: FIELD_OUT_OF_RANGE.
    """
    try:
        return _floats(column, empty)
    except pa.ArrowInvalid as error:
        cause = str(error).splitlines()[0][:200]
        raise InvalidArgument("FIELD_OUT_OF_RANGE", f"no decimal number: {cause}") from error


def _floats(column: Any, empty: float) -> NDArray[np.float64]:
    text: Any = column.combine_chunks()
    nothing: Any = pa.scalar(None, pa.string())
    filled: Any = pc.if_else(pc.equal(text, ""), nothing, text)
    return np.asarray(pc.fill_null(filled.cast(pa.float64()), empty), dtype=np.float64)


def truths(column: Any) -> NDArray[np.bool_]:
    """Where a column says yes: 1 or true."""
    text: Any = column.combine_chunks()
    yes: Any = pc.is_in(pc.utf8_lower(text), value_set=pa.array(["1", "true"]))
    return np.asarray(yes, dtype=bool)

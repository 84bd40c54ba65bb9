"""Files in the formats of the import kinds, sent to the services batch by batch."""

import csv
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from google.rpc import error_details_pb2, status_pb2

from services.common.errors import InvalidArgument
from services.common.times import LATEST_MS
from services.common.wire import whole
from services.console.referral_tables import plain

ROWS = 100_000
"""Rows of one file that are read and sent at once."""


@dataclass
class Tally:
    """What an import did, and the rows it could not take."""

    committed: int = 0
    duplicate: int = 0
    rejected: list[tuple[str, int, str, str]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows read."""
        return self.committed + self.duplicate + len(self.rejected)


def read_tables(path: Path, block_bytes: int = 16 << 20) -> Iterator[tuple[int, pa.Table]]:
    """A CSV, CSV.gz or Parquet file in tables of text columns, with the line each starts at.

    Args:
        path: of the file.
        block_bytes: of CSV, read at once; a few of them are held.

    Raises:
        InvalidArgument: FILE_UNREADABLE.
    """
    line = 2
    block = pyarrow.csv.ReadOptions(block_size=block_bytes)
    try:
        if path.suffix == ".parquet":
            for batch in pyarrow.parquet.ParquetFile(path).iter_batches(ROWS):
                table = pa.Table.from_batches([batch])
                table.validate(full=True)  # Parquet may hold texts that are no UTF-8
                names = [name.lower() for name in table.column_names]
                yield line, pa.table([pc.cast(c, pa.string()) for c in table.columns], names)
                line += len(table)
            return
        # pyarrow opens .gz by its ending; every column is text, so that nothing is guessed.
        with pyarrow.csv.open_csv(path, parse_options=_PARSE, read_options=block) as reader:
            head = reader.schema.names
        convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(head, pa.string()))
        with pyarrow.csv.open_csv(
            path, parse_options=_PARSE, read_options=block, convert_options=convert
        ) as reader:
            for batch in reader:
                table = pa.Table.from_batches([batch]).rename_columns([n.lower() for n in head])
                for start in range(0, len(table), ROWS):
                    part = table.slice(start, ROWS)
                    yield line, part
                    line += len(part)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        cause = str(error).splitlines()[0][:200]
        raise InvalidArgument(
            "FILE_UNREADABLE", f"cannot read {path.name}: {cause}", file=path.name, cause=cause
        ) from error


_PARSE = pyarrow.csv.ParseOptions(newlines_in_values=True)


def require(table: pa.Table, path: Path, names: Sequence[str]) -> None:
    """Accept a table that has the columns.

    Raises:
        InvalidArgument: COLUMN_MISSING.
    """
    for name in names:
        if name not in table.column_names:
            raise InvalidArgument(
                "COLUMN_MISSING", f"{path.name} has no column {name!r}", file=path.name, column=name
            )


def texts(table: pa.Table, name: str) -> list[str]:
    """A column as texts, "" for null and for every row of an absent column."""
    if name not in table.column_names:
        return [""] * len(table)
    return pc.fill_null(table[name], "").to_pylist()


def times_ms(values: Sequence[str], absent: int = 0) -> npt.NDArray[np.int64]:
    """Times as epoch milliseconds, int64 (n,); `absent` for "", -1 for what cannot be read.

    ISO 8601 with offset, a day, or epoch milliseconds; without an offset UTC is meant.
    """
    known: dict[str, int] = {"": absent}
    for value in set(values) - known.keys():
        known[value] = _time_ms(value)
    return np.fromiter((known[v] for v in values), np.int64, len(values))


def _time_ms(value: str) -> int:
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) > 8:
        time_ms = int(text) if len(text) <= 15 else LATEST_MS
        return time_ms if time_ms < LATEST_MS else -1
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(int(moment.timestamp() * 1000), -1)
    except (ValueError, OverflowError):
        return -1


def derived_ids(parts: Sequence[Sequence[Any]], seen: dict[bytes, int]) -> list[str]:
    """Ids of rows without one: a digest of the row and of how often it stood in the file before."""
    ids = []
    for row in zip(*parts, strict=True):
        content = hashlib.blake2b("\0".join(map(str, row)).encode(errors="replace"), digest_size=12)
        digest = content.digest()
        again = seen.get(digest, 0)
        seen[digest] = again + 1
        ids.append(f"{digest.hex()}-{again}" if again else digest.hex())
    return ids


def days(values: Sequence[str]) -> npt.NDArray[np.int32]:
    """Days as days since 1970, int32 (n,); -1 for what is no day."""
    known: dict[str, int] = {}
    for value in set(values):
        try:
            known[value] = (date.fromisoformat(value.strip()) - date(1970, 1, 1)).days
        except ValueError:
            known[value] = -1
    return np.fromiter((known[v] for v in values), np.int32, len(values))


def integers(values: Sequence[str]) -> list[int]:
    """Counts, 0 for "" and -1 (rejected later) for what is no whole number."""
    known: dict[str, int] = {"": 0}
    for value in set(values) - known.keys():
        number = whole(value)
        known[value] = -1 if number is None else number
    return [known[v] for v in values]


def flags(values: Sequence[str]) -> list[bool]:
    """Truth values as people write them."""
    return [v.strip().lower() in ("1", "true", "yes", "y", "t") for v in values]


def reason_of(status: status_pb2.Status) -> tuple[str, str]:
    """Field and reason of a rejected item."""
    for detail in status.details:
        found = error_details_pb2.ErrorInfo()
        if detail.Unpack(found):
            return found.metadata.get("field", ""), f"{found.reason}: {status.message}"
    return "", status.message


def write_rejects(path: Path, rejected: Sequence[tuple[str, int, str, str]]) -> None:
    """Write file, line, field and reason of every rejected row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "line", "field", "reason"])
        for name, line, column, reason in rejected:
            writer.writerow([plain(name), line, plain(column), plain(reason)])


Progress = Callable[[int], None]

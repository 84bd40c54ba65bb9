"""Files of call records of any size to a file of behaviour: read, put aside, aggregate by part."""

import csv
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from services.cli.cdr.aggregate import COLUMNS, behaviour
from services.cli.cdr.crowds import CROWD, crowds
from services.cli.cdr.records import CALL, RECEIVED, Batch, check_columns, read_records
from services.cli.cdr.refusals import Refusals, read_refusals
from services.cli.cdr.spill import Spill
from services.cli.cdr.times import china_days
from services.cli.importing import read_tables, require
from services.common.errors import InvalidArgument, Unavailable

THREADS = 2
READERS = 2
"""Files read at the same time."""
AHEAD = 4
"""Pieces of work that wait for a thread, so that memory stays within bounds."""
BLOCK_BYTES = 4 << 20
"""CSV read at once: columns that stay near the processor; 16 MiB took no less time, more memory."""
PART_BYTES = 8 << 20
"""Input per part, uncompressed: what is sorted stays within a processor's cache."""
ROW_GROUP = 1 << 17
"""Rows that are written at once, about."""
MIN_PARTS, MAX_PARTS = 4, 256
PACKED = {".gz": 8, ".parquet": 5}
"""How much larger a file is when unpacked, about."""

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")
_SCHEMA = pa.schema(
    [("number", pa.string()), ("day", pa.date32()), ("carrier", pa.string())]
    + [(n, pa.float64() if n == "sequential_ratio" else pa.int64()) for n in COLUMNS[3:]]
)


@dataclass
class Outcome:
    """What was done.

    Attributes:
        records: rows read.
        rejected: of these and of the refusals, rows that could not be taken.
        first_rejects: file, line, field and reason of the first few.
        rows: rows of behaviour written.
    """

    records: int = 0
    rejected: int = 0
    rows: int = 0
    first_rejects: tuple[tuple[str, int, str, str], ...] = ()


def aggregate_files(
    files: Sequence[Path],
    out: Path,
    carrier: str,
    refusals: Path | None = None,
    rejects: Path | None = None,
    temporary: Path | None = None,
    read: Callable[[int], None] = lambda count: None,
) -> Outcome:
    """Aggregate call records into `out`, CSV, CSV.gz or Parquet by its ending.

    Args:
        files: records; a number's calls may lie in any of them.
        out: written whole or not at all.
        carrier: for the column of that name.
        refusals: callees who refused callers.
        rejects: gets the rows that cannot be taken.
        temporary: a folder for what is put aside, about 80 bytes a record; default: beside `out`.
        read: told the number of records as they are read.

    Raises:
        InvalidArgument: FILE_UNREADABLE, COLUMN_MISSING or FIELD_OUT_OF_RANGE.
        Unavailable: STORE_UNAVAILABLE: `out` or the temporary folder cannot be written.
    """
    if not carrier.strip():
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE", "carrier must not be empty", field="carrier", value=carrier
        )
    outcome = Outcome()
    try:
        with ExitStack() as stack:
            base = temporary or out.parent
            name = stack.enter_context(tempfile.TemporaryDirectory(dir=base, prefix=".cdr-"))
            folder = Path(name)
            pool = stack.enter_context(ThreadPoolExecutor(THREADS))
            note = _Rejects(stack, rejects, outcome)
            known = _refusals(refusals, note)
            _Aggregation(pool, folder, _part_count(files), outcome, note).run(
                files, known, out, carrier, read
            )
    except OSError as error:
        raise Unavailable(
            "STORE_UNAVAILABLE",
            f"cannot write {out.name} or what is put aside for it: {error.strerror}",
            file=out.name,
        ) from error
    return outcome


class _Rejects:
    """Names rejected rows in a file as they come."""

    def __init__(self, stack: ExitStack, path: Path | None, outcome: Outcome) -> None:
        self._outcome, self._writer = outcome, None
        if path is not None:
            file = stack.enter_context(path.open("w", newline="", encoding="utf-8"))
            self._writer = csv.writer(file)
            self._writer.writerow(["file", "line", "field", "reason"])

    def __call__(self, file: str, rows: Iterable[tuple[int, str, str]]) -> None:
        for line, field, reason in rows:
            self._outcome.rejected += 1
            if len(self._outcome.first_rejects) < 3:
                self._outcome.first_rejects += ((file, line, field, reason),)
            if self._writer is not None:
                self._writer.writerow([file, line, field, reason])


class _Aggregation:
    """One run over a folder of parts."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        folder: Path,
        parts: int,
        outcome: Outcome,
        note: _Rejects,
    ) -> None:
        self._pool, self._parts, self._outcome, self._note = pool, parts, outcome, note
        self._calls = Spill(folder, "calls", CALL, parts)
        self._received = Spill(folder, "received", RECEIVED, parts)
        self._folder = folder

    def run(
        self,
        files: Sequence[Path],
        refusals: Refusals,
        out: Path,
        carrier: str,
        read: Callable[[int], None],
    ) -> None:
        """Read, put aside, aggregate, write."""

        def records(item: tuple[str, int, pa.Table]) -> tuple[str, int, Batch, Any, Any]:
            file, line, table = item
            batch = read_records(table, refusals)
            calls = self._calls.divide(batch.calls, china_days(batch.calls["started_ms"]))
            received = self._received.divide(
                batch.received, china_days(batch.received["started_ms"])
            )
            return file, line, batch, calls, received

        for file, line, batch, calls, received in self._ahead(records, _tables(files)):
            self._calls.append(calls)
            self._received.append(received)
            named = ((line + row, field, why) for row, field, why in sorted(batch.rejected))
            self._note(file, named)
            self._outcome.records += batch.row_count
            read(batch.row_count)
        self._calls.finish()
        self._received.finish()

        # Only now: each file that is open counts against the process's limit.
        in_crowds = Spill(self._folder, "crowds", CROWD, self._parts)

        def crowded(part: int) -> list[npt.NDArray[Any]]:
            found = crowds(self._received.read(part))
            return in_crowds.divide(found, found["day"])

        for divided in self._ahead(crowded, range(self._parts)):
            in_crowds.append(divided)
        in_crowds.finish()

        def rows(part: int) -> pa.Table:
            calls, received = self._calls.read(part), self._received.read(part)
            table = behaviour(calls, received, in_crowds.read(part), carrier)
            for spill in (self._calls, self._received, in_crowds):
                spill.drop(part)
            return table.cast(_SCHEMA)

        partial = out.with_name(f".{out.name}.part")
        try:
            with _writer(partial, out) as writer:
                waiting: list[pa.Table] = []
                for table in self._ahead(rows, range(self._parts)):
                    waiting.append(table)
                    if sum(map(len, waiting)) >= ROW_GROUP:
                        writer.write_table(pa.concat_tables(waiting))
                        waiting = []
                    self._outcome.rows += len(table)
                if waiting:
                    writer.write_table(pa.concat_tables(waiting))
            partial.replace(out)
        finally:
            partial.unlink(missing_ok=True)

    def _ahead(self, work: Callable[[_Item], _Made], items: Iterable[_Item]) -> Iterator[_Made]:
        """Results in order, a few of them ahead."""
        waiting: deque[Future[_Made]] = deque()
        for item in items:
            waiting.append(self._pool.submit(work, item))
            if len(waiting) >= AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _tables(files: Sequence[Path]) -> Iterator[tuple[str, int, pa.Table]]:
    """File, line and table of all files in turn, READERS of them at a time.

    One CSV file is parsed by one thread, which is not fast enough for two that aggregate.
    """

    def tables(path: Path) -> Iterator[tuple[str, int, pa.Table]]:
        for line, table in read_tables(path, BLOCK_BYTES):
            check_columns(table.column_names, path.name)
            yield path.name, line, table

    opened = map(tables, files)
    with ThreadPoolExecutor(READERS) as readers:
        waiting = deque(
            (reader, readers.submit(next, reader, None)) for reader in islice(opened, READERS)
        )
        while waiting:
            reader, coming = waiting.popleft()
            found = coming.result()
            following = next(opened, None) if found is None else reader
            if following is not None:
                waiting.append((following, readers.submit(next, following, None)))
            if found is not None:
                yield found


def _refusals(path: Path | None, note: _Rejects) -> Refusals:
    if path is None:
        return read_refusals(())[0]

    def tables() -> Iterator[tuple[int, pa.Table]]:
        for line, table in read_tables(path):
            require(table, path, ("number", "callee", "occurred_at"))
            yield line, table

    found, rejected = read_refusals(tables())
    note(path.name, rejected)
    return found


def _part_count(files: Sequence[Path]) -> int:
    size = sum(path.stat().st_size * PACKED.get(path.suffix, 1) for path in files)
    return int(np.clip(size // PART_BYTES, MIN_PARTS, MAX_PARTS))


def _writer(path: Path, out: Path) -> Any:
    """A writer of tables by the ending of `out`."""
    if out.suffix == ".parquet":
        return pyarrow.parquet.ParquetWriter(
            path, _SCHEMA, compression="zstd", use_dictionary=_SCHEMA.names[1:]
        )
    return _CsvWriter(path, out.suffix == ".gz")


class _CsvWriter:
    """Tables as CSV, compressed or not."""

    def __init__(self, path: Path, packed: bool) -> None:
        self._stream = pa.output_stream(str(path), compression="gzip" if packed else None)
        self._writer = pyarrow.csv.CSVWriter(
            self._stream, _SCHEMA, write_options=pyarrow.csv.WriteOptions(quoting_style="needed")
        )

    def __enter__(self) -> "_CsvWriter":
        return self

    def __exit__(self, *unused: object) -> None:
        self._writer.close()
        self._stream.close()

    def write_table(self, table: pa.Table) -> None:
        """Append."""
        self._writer.write_table(table)

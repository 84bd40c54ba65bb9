"""The embedded engine: ClickHouse in this process, one path for all of it."""

import fcntl
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
from chdb.session import Session

from services.common.errors import FailedPrecondition, Unavailable
from services.common.store.columns import Columns, as_table, plain
from services.common.store.failure import StoreError, engine_failure
from services.common.store.pool import Pool
from services.common.store.statement import (
    checked_command,
    checked_name,
    checked_table_name,
    render,
)

LOCK_NAME = "zhengming.lock"
MAX_EXTERNAL_TABLES = 4

_SETTINGS = {
    # The old engine asks for no alias; one SQL text for both.
    "joined_subquery_requires_alias": "0",
    # An entry for every condition that was ever asked, and each of ours is another one.
    "use_query_condition_cache": "0",
    # All rows of one insert become one part, so they appear together or not at all.
    "min_insert_block_size_rows": "1000000000",
    "min_insert_block_size_bytes": "0",
    # Packing results and unpacking them in the same process takes half of a large one's time.
    "output_format_arrow_compression_method": "'none'",
    "output_format_arrow_use_native_writer": "1",
    # Each thread that joins a statement costs more than looking a few keys up in a part's index.
    "max_threads_for_indexes": "1",
}
_CODE = re.compile(r"Code: (\d+)\. ?")
# There is nothing to unpack, and waking threads for it takes longer than reading a small result.
_READING = pa.ipc.IpcReadOptions(use_threads=False)


class _ProcessEngine:
    """The path that this process has open, by how many stores.

    The engine behind every session is one per process, whatever we do; this is its count.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._path: Path | None = None
        self._store_count = 0
        self._lock_file = -1

    def acquire(self, path: Path) -> None:
        """Count one more store on the path, locking it for this process if it is the first."""
        with self._lock:
            if self._path is None:
                self._lock_file = _locked_file(path)
                self._path = path
            elif self._path != path:
                raise _in_use(path, f"this process has {self._path} open, and can open only one")
            self._store_count += 1

    def release(self) -> None:
        """Count one store less; the last one frees the path for other processes."""
        with self._lock:
            self._store_count -= 1
            if self._store_count == 0:
                os.close(self._lock_file)
                self._path = None


_process_engine = _ProcessEngine()


class ChdbStore:
    """A store in a directory of this machine, for one process at a time.

    Threads may share it. Each statement has an engine session of its own for as long as it runs:
    one session runs one statement at a time and mixes up the external tables of two, and after
    a failure it puts what was left of the result before the next one, so it is closed.
    After `close` of all stores the process may open the same path again, or another.
    """

    engine_version: tuple[int, int]
    is_shared = False

    def __init__(self, path: str | Path, database: str = "zhengming") -> None:
        """Open or create the directory and the database.

        Raises:
            FailedPrecondition: STORE_IN_USE: another process has this path open, or this process
                another path.
            Unavailable: STORE_UNAVAILABLE: the directory cannot be made or written.
        """
        self._path = Path(path).absolute()
        self.database = checked_name(database)
        self._is_open = False
        _process_engine.acquire(self._path)
        self._pool = Pool(self._new_session, Session.close)
        self._is_open = True
        try:
            self.use(database)
            version = self.query("SELECT version() AS version")["version"][0].as_py()
        except BaseException:
            self.close()
            raise
        major, minor = version.split(".")[:2]
        self.engine_version = (int(major), int(minor))

    def query(
        self,
        sql: str,
        params: Mapping[str, Any] | None = None,
        tables: Mapping[str, Columns] | None = None,
        exact: bool = False,
    ) -> pa.Table:
        """See Store.query."""
        return plain(self._run(sql, params, tables))

    def execute(
        self,
        sql: str,
        params: Mapping[str, Any] | None = None,
        tables: Mapping[str, Columns] | None = None,
        exact: bool = False,
    ) -> None:
        """See Store.execute."""
        self._run(checked_command(sql), params, tables)

    def insert(self, table: str, columns: Columns) -> int:
        """See Store.insert."""
        rows = as_table(columns)
        if rows.num_rows:
            names = ", ".join(checked_name(name) for name in rows.column_names)
            self._run(
                f"INSERT INTO {checked_table_name(table)} ({names}) "
                f"SELECT {names} FROM {{inserted}}",
                None,
                {"inserted": rows},
            )
        row_count: int = rows.num_rows
        return row_count

    def use(self, database: str) -> None:
        """See Store.use."""
        self.database = "default"
        self._run(f"CREATE DATABASE IF NOT EXISTS {checked_name(database)}", None, None)
        self.database = database
        self._pool.renew()

    def running(self, condition: str) -> set[str]:
        """See Store.running: what others run there is none of."""
        return set()

    def doubt(self) -> None:
        """See Store.doubt: a write is done when it is answered."""

    @contextmanager
    def shards(self) -> Iterator[Sequence["ChdbStore"]]:
        """See Store.shards."""
        yield [self]

    def close(self) -> None:
        """Close the sessions; closing again does nothing. No statement may be running."""
        if self._is_open:
            self._is_open = False
            self._pool.close()
            _process_engine.release()

    def _new_session(self) -> Session:
        try:
            session = Session(str(self._path))
        except RuntimeError as error:
            raise Unavailable("STORE_UNAVAILABLE", f"store: {self._path} does not open") from error
        session.query(f"USE {self.database}")
        session.query(f"SET {', '.join(f'{name} = {to}' for name, to in _SETTINGS.items())}")
        return session

    def _run(
        self,
        sql: str,
        params: Mapping[str, Any] | None,
        tables: Mapping[str, Columns] | None,
    ) -> pa.Table:
        externals = {name: as_table(columns) for name, columns in (tables or {}).items()}
        if len(externals) > MAX_EXTERNAL_TABLES:
            raise ValueError(f"a statement takes at most {MAX_EXTERNAL_TABLES} external tables")
        sources = {name: f"Python(external_{i})" for i, name in enumerate(externals)}
        statement = render(sql, params, sources)
        with self._pool.lend() as session:
            try:
                return _query_beside(session, statement, *externals.values())
            except RuntimeError as error:
                raise _engine_failure(error) from None


def _query_beside(
    session: Session,
    statement: str,
    external_0: pa.Table | None = None,
    external_1: pa.Table | None = None,
    external_2: pa.Table | None = None,
    external_3: pa.Table | None = None,
) -> pa.Table:
    """Run a statement; the engine finds `Python(external_0)` among its callers' variables."""
    result = session.query(statement, "Arrow")
    if not len(result):  # a statement that answers nothing
        return pa.table({})
    rows = pa.py_buffer(result.get_memview().view())
    # The columns point into what the engine wrote, and keep it as long as there is one of them.
    kept = pa.foreign_buffer(rows.address, rows.size, base=result)
    return pa.ipc.open_file(kept, options=_READING).read_all()


def _locked_file(path: Path) -> int:
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Unavailable("STORE_UNAVAILABLE", f"store: {path}: {error.strerror}") from error
    try:
        # The kernel frees it whenever and however the process ends.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise _in_use(path, "another process has it open") from None
    return file


def _in_use(path: Path, why: str) -> FailedPrecondition:
    return FailedPrecondition("STORE_IN_USE", f"store: {path} is in use: {why}", path=path)


def _engine_failure(error: RuntimeError) -> Exception:
    match = _CODE.match(str(error))
    if match is None:
        return StoreError(0, str(error).partition("\n")[0][:300])
    return engine_failure(int(match[1]), str(error)[match.end() :])

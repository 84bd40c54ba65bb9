"""A store whose statements are counted, timed, and part of what is traced."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import pyarrow as pa

from services.common.errors import DomainError
from services.common.store import Columns, Store
from services.common.telemetry import names
from services.common.telemetry.histogram import Durations
from services.common.telemetry.traces import Traces

T = TypeVar("T")


class ObservedStore:
    """The store it is given, see Store. Statements themselves are nowhere told."""

    def __init__(self, store: Store, durations: Durations, traces: Traces) -> None:
        self._store, self._durations, self._traces = store, durations, traces
        for operation in ("query", "insert", "execute"):
            for outcome in ("ok", "unavailable", "refused"):
                durations.series(operation, outcome)
        self.engine_version, self.database = store.engine_version, store.database
        self.is_shared = store.is_shared

    def query(
        self,
        sql: str,
        params: Mapping[str, Any] | None = None,
        tables: Mapping[str, Columns] | None = None,
        exact: bool = False,
    ) -> pa.Table:
        """See Store.query."""
        return self._observed("query", lambda: self._store.query(sql, params, tables, exact))

    def insert(self, table: str, columns: Columns) -> int:
        """See Store.insert."""
        return self._observed("insert", lambda: self._store.insert(table, columns))

    def execute(
        self,
        sql: str,
        params: Mapping[str, Any] | None = None,
        tables: Mapping[str, Columns] | None = None,
        exact: bool = False,
    ) -> None:
        """See Store.execute."""
        self._observed("execute", lambda: self._store.execute(sql, params, tables, exact))

    def use(self, database: str) -> None:
        """See Store.use."""
        self._store.use(database)
        self.database = self._store.database

    def running(self, condition: str) -> set[str]:
        """See Store.running."""
        return self._store.running(condition)

    def doubt(self) -> None:
        """See Store.doubt."""
        self._store.doubt()

    @contextmanager
    def shards(self) -> Iterator[Sequence[Store]]:
        """See Store.shards."""
        with self._store.shards() as stores:
            yield [ObservedStore(store, self._durations, self._traces) for store in stores]

    def close(self) -> None:
        """See Store.close."""
        self._store.close()

    def _observed(self, operation: str, run: Callable[[], T]) -> T:
        begun = time.perf_counter()
        outcome = "ok"
        try:
            with self._traces.step(names.STATEMENT, operation=operation):
                return run()
        except BaseException as error:
            outcome = "unavailable" if isinstance(error, DomainError) else "refused"
            raise
        finally:
            self._durations.series(operation, outcome).add(time.perf_counter() - begun)

"""One narrow column store over two engines: chDB in the process, or a ClickHouse server."""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import pyarrow as pa

from services.common.errors import InvalidArgument
from services.common.store.columns import Columns
from services.common.store.failure import StoreError
from services.common.store.hosts import Host, read_hosts

if TYPE_CHECKING:
    from services.common.store.lifeline import Lifeline

__all__ = [
    "Columns", "Store", "StoreError", "answers", "open_store",
]  # fmt: skip

DEFAULT_DATABASE = "zhengming"
_CLUSTER = re.compile(r"cluster=([A-Za-z_]\w*)(?:&quorum=([1-9]))?")
_DATABASE = re.compile(r"[A-Za-z_]\w*")


class Store(Protocol):
    """Columns in, columns out; one SQL text for both engines, threads may share it.

    Every method raises StoreError for a statement that the engine refuses, and
    Unavailable(STORE_UNAVAILABLE) when the engine is lost, overloaded or closed.

    Attributes:
        engine_version: (18, 16) or (26, 9).
        database: where table names without a database are looked up.
        is_shared: whether other processes may have it open too.
    """

    engine_version: tuple[int, int]
    database: str
    is_shared: bool

    def query(
        self,
        sql: str,
        params: Mapping[str, Any] | None = None,
        tables: Mapping[str, Columns] | None = None,
        exact: bool = False,
    ) -> pa.Table:
        """Run a read, and once more if the connection was lost.

        Args:
            sql: `%(name)s` stands for a value: int, float, text, bool, tuple or numpy array for
                `IN %(keys)s`, list for an Array. `{name}` stands for an external table, after
                FROM or JOIN: `number IN (SELECT number FROM {touched})`. Any other `%` or `{}`
                is left alone. Name computed columns by AS: the engines' own names differ.
            params: the values.
            tables: up to four external tables of plain columns, a million rows and more;
                on a server the column types are those of the arrays, without lists.
            exact: see all that was acknowledged and will ever be there of what was written before,
                or fail: for the replicas of a cluster, of which one may be behind. Not for tables
                whose partitions are dropped.

        Returns:
            A table of plain types: int8…int64, uint8…uint64, float32, float64, string, date32
            and lists of them, as columns in one or more chunks. Row order is the statement's.

        Raises:
            ValueError: a parameter is missing, or the result has another type.
        """
        ...

    def insert(self, table: str, columns: Columns) -> int:
        """Append rows as one block: within one partition all of them appear, or none.

        Columns are matched by name; those not named take their defaults. The engine casts to the
        table's types without checking ranges. Never retried: after STORE_UNAVAILABLE the rows
        may be there, and the caller decides.

        Returns:
            How many rows were sent; no rows are a no-op.

        Raises:
            InvalidArgument: STORE_COLUMNS_INVALID: nulls, unequal lengths, an unknown type.
        """
        ...

    def execute(
        self,
        sql: str,
        params: Mapping[str, Any] | None = None,
        tables: Mapping[str, Columns] | None = None,
        exact: bool = False,
    ) -> None:
        """Run DDL or INSERT … SELECT, with slots as in `query`; never retried.

        What is selected is inserted as one block.

        Raises:
            ValueError: it is INSERT … VALUES; rows go through `insert`.
        """
        ...

    def use(self, database: str) -> None:
        """Create the database if it is not there, and look table names up in it, in every thread.

        No other thread may be using the store.
        """
        ...

    def running(self, condition: str) -> set[str]:
        """Ids of the INSERT statements that run now and have that text in them, on all servers
        that answer."""
        ...

    def doubt(self) -> None:
        """Let the next exact read wait until it is decided what others have written: those whose
        work this process takes over may have failed half way. What this store failed to write
        is waited for in any case.
        """
        ...

    def shards(self) -> AbstractContextManager[Sequence["Store"]]:
        """The store of each shard, with the same tables holding the shard's rows; itself alone
        where there is one engine only. Rows of a number are all in one shard.
        """
        ...

    def close(self) -> None:
        """Let go of the engine; closing again does nothing."""
        ...


def open_store(url: str, lifeline: "Lifeline | None" = None) -> Store:
    """Open the store that a URL names.

    Args:
        url: `chdb:PATH`, `chdb:PATH?database=NAME`, or `clickhouse://[USER:PASSWORD@]HOST[:PORT]
            [/DATABASE][?cluster=NAME[&quorum=N]]`, user and password percent-encoded. Port 9000 and
            database `zhengming` if not given; quorum as ClickHouseStore has it. Of a cluster there
            may be several `HOST[:PORT]`, with commas between them: whichever answers. The
            database is created if it is not there.
        lifeline: holds the connections to a server; None: one of the store's own.

    Raises:
        InvalidArgument: STORE_URL_INVALID.
        FailedPrecondition: STORE_IN_USE: see ChdbStore.
        Unavailable: STORE_UNAVAILABLE: no server answers, or the path cannot be written.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "chdb":
        path, _, options = rest.partition("?")
        databases = parse_qs(options).get("database", [DEFAULT_DATABASE])
        database = databases[0]
        if not path or (options and "database" not in parse_qs(options)):
            raise _url_invalid(url, "chdb:PATH or chdb:PATH?database=NAME is meant")
        # An engine is hundreds of megabytes, and half a second, that others do without.
        from services.common.store.chdb import ChdbStore

        return ChdbStore(path, _checked_database(url, database))
    if scheme == "clickhouse":
        from services.common.store.clickhouse import ClickHouseStore

        parts, hosts, cluster = _servers(url)
        return ClickHouseStore(
            *hosts[0],
            _checked_database(url, parts.path.strip("/") or DEFAULT_DATABASE),
            unquote(parts.username or "default"),
            unquote(parts.password or ""),
            cluster[1] if cluster else "",
            int(cluster[2] or 0) if cluster else 0,
            hosts[1:],
            lifeline,
        )
    raise _url_invalid(url, "it begins with neither chdb: nor clickhouse://")


def answers(url: str) -> bool:
    """Whether the store of a URL that can be opened answers within seconds; one in the process
    always does."""
    from services.common.store.lifeline import greets

    return url.startswith("chdb:") or any(greets(*host) for host in _servers(url)[1])


def _servers(url: str) -> tuple[SplitResult, list[Host], re.Match[str] | None]:
    try:
        parts = urlsplit(url)
        hosts = read_hosts(parts.netloc.rpartition("@")[2])
    except ValueError:
        raise _url_invalid(url, "host or port cannot be read") from None
    cluster = _CLUSTER.fullmatch(parts.query)
    if (parts.query and not cluster) or parts.fragment or (hosts[1:] and not cluster):
        form = "clickhouse://[USER:PASSWORD@]HOST:PORT/DATABASE, or HOST:PORT,HOST:PORT"
        raise _url_invalid(url, f"{form}/DATABASE?cluster=NAME[&quorum=N] is meant")
    return parts, hosts, cluster


def _checked_database(url: str, name: str) -> str:
    if not _DATABASE.fullmatch(name):
        raise _url_invalid(url, "the database's name is not plain letters, digits and _")
    return name


def _url_invalid(url: str, why: str) -> InvalidArgument:
    shown = re.sub(r"//[^/]*@", "//…@", url)  # without the password
    return InvalidArgument("STORE_URL_INVALID", f"store: bad URL {shown}: {why}", url=shown)

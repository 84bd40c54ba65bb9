"""The ClickHouse server, over its native protocol."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import pyarrow as pa
from clickhouse_driver import Client
from clickhouse_driver import errors as driver_errors

from services.common.errors import Unavailable
from services.common.store import undecided
from services.common.store.cluster import distributed_statements, shard_database
from services.common.store.columns import Columns, as_table, plain
from services.common.store.driver_columns import as_list, as_numpy, external_tables
from services.common.store.failure import ALREADY_DONE_CODES, StoreError, engine_failure
from services.common.store.hosts import Host, Hosts
from services.common.store.lacking import EXACT, await_fetches
from services.common.store.lifeline import CONNECTION_LOST, UNANSWERED, Lifeline, greets
from services.common.store.pool import Pool
from services.common.store.statement import (
    checked_command,
    checked_name,
    checked_table_name,
    render,
)

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 300
QUORUM_TIMEOUT_MS = 20_000
QUORUM_TRIES, QUORUM_PAUSE_S = 100, 0.02
"""A server of before 20.10 takes one quorum insert into a table at a time and refuses others,
which have then written nothing; blocks of rows that a shard has are not written twice."""
_UNKNOWN_DATABASE_CODE = 81
_WAITED_FOR = (286, 289, 369)
"""A quorum insert is under way; an exact read came to a replica that fetches the last one still;
all replicas have something to fetch for more than a second."""
# All rows of one INSERT … SELECT become one part, so they appear together or not at all.
_ONE_BLOCK = {"min_insert_block_size_rows": 1_000_000_000, "min_insert_block_size_bytes": 0}
_CLUSTER_SETTINGS = {
    "distributed_product_mode": "global",  # IN and JOIN of one table over shards with another
    "insert_distributed_sync": 1,  # an insert is answered when the shards have it
    "load_balancing": "in_order",  # reads go where the writes went, as long as that answers
}
# The driver logs a traceback for each lost connection, which its caller hears of as Unavailable.
logging.getLogger("clickhouse_driver").setLevel(logging.ERROR)


class ClickHouseStore:
    """A store in a ClickHouse server's database; threads may share it.

    Each statement has a connection of its own for as long as it runs. A connection found dead is
    opened again before a statement is sent; one that dies under a read is opened again once.
    """

    engine_version: tuple[int, int]
    is_shared = True

    def __init__(
        self,
        host: str,
        port: int = 9000,
        database: str = "zhengming",
        user: str = "default",
        password: str = "",
        cluster: str = "",
        quorum: int = 0,
        others: Sequence[Host] = (),
        lifeline: Lifeline | None = None,
    ) -> None:
        """Connect, and create the database if it is not there.

        Args:
            cluster: name in the server's remote_servers of the cluster that holds the tables;
                "" for this server alone. See `cluster` for how tables are laid out.
            quorum: replicas that have rows when an insert is answered; 0: two, or one where a
                shard has one only. With fewer that answer, nothing is inserted.
            others: more servers of the cluster; statements go to one of them when the one before
                does not answer.
            lifeline: holds the connections; None: one of its own.

        Raises:
            Unavailable: STORE_UNAVAILABLE: no server answers.
            StoreError: the server refuses, a wrong password for one.
        """
        self._hosts = Hosts([(host, port), *others])
        self._user, self._password = user, password
        self.database = checked_name(database)
        self.cluster = checked_name(cluster) if cluster else ""
        self._quorum, self._may_lack, self.engine_version = quorum or 1, False, (0, 0)
        self._failed_writes = self._settled_writes = 0
        self._doubting, self._settling = threading.Lock(), threading.Lock()
        self._lifeline = lifeline or Lifeline()
        self._pool = Pool(self._new_client, self._lifeline.drop)
        version_sql = "SELECT version() AS version"
        try:
            result = self.query(version_sql)
        except StoreError as error:
            if error.code != _UNKNOWN_DATABASE_CODE:
                raise
            self.use(database)
            result = self.query(version_sql)
        major, minor = result["version"][0].as_py().split(".")[:2]
        self.engine_version = (int(major), int(minor))
        if self.cluster:
            shards = [row["shard"] for row in self._servers()]
            replicas = [shards.count(shard) for shard in shards]
            self._quorum = quorum or min((2, *replicas))
            self._may_lack = 1 < self._quorum < max(replicas, default=1)
            self._pool.renew()  # with the settings that these two facts ask for

    def query(
        self,
        sql: str,
        params: Mapping[str, Any] | None = None,
        tables: Mapping[str, Columns] | None = None,
        exact: bool = False,
    ) -> pa.Table:
        """See Store.query."""
        if exact:
            self._settle()
        externals = external_tables(tables)
        statement = render(sql, params, {name: name for name in tables or {}})
        settings = {"use_numpy": True, **self._exactly(exact)}

        def read(client: Client) -> pa.Table:
            self._find_all(client, statement, exact)
            return client.query_arrow(statement, external_tables=externals, settings=settings)

        try:
            return plain(self._send(self._pool, read))
        except Unavailable as error:
            if not isinstance(error.__cause__, CONNECTION_LOST):
                raise
            return plain(self._send(self._pool, read))

    def execute(
        self,
        sql: str,
        params: Mapping[str, Any] | None = None,
        tables: Mapping[str, Columns] | None = None,
        exact: bool = False,
    ) -> None:
        """See Store.execute."""
        if exact:
            self._settle()
        externals = external_tables(tables)
        statement = render(checked_command(sql), params, {name: name for name in tables or {}})
        spread = [statement]
        if self.cluster:
            spread = distributed_statements(statement, self.cluster, self.database)
        if spread == [statement]:
            self._execute(self._pool, statement, externals, exact)
        else:
            self._define(spread)

    def _execute(
        self,
        pool: Pool[Client],
        statement: str,
        externals: list[dict[str, Any]],
        exact: bool = False,
    ) -> None:
        settings = {"use_numpy": bool(externals), **_ONE_BLOCK, **self._exactly(exact)}

        def run(client: Client) -> None:
            self._find_all(client, statement, exact)
            client.execute(statement, external_tables=externals, settings=settings)

        self._write(pool, run)

    def _write(self, pool: Pool[Client], work: Callable[[Client], Any]) -> None:
        try:
            self._send(pool, work)
        except Unavailable:
            self.doubt()
            raise

    def doubt(self) -> None:
        """See Store.doubt."""
        with self._doubting:
            self._failed_writes += 1

    def _settle(self) -> None:
        """Wait until every write that failed before this moment is done, or is known not to be.

        Raises:
            Unavailable: STORE_UNAVAILABLE: that cannot be told yet.
        """
        if self._quorum == 1 or self._failed_writes == self._settled_writes:
            return
        with self._settling:
            failed = self._failed_writes
            if failed == self._settled_writes:  # another thread saw to it
                return
            shards = {row["shard"] for row in self._servers()}
            for shard, replica in self._answering(shard_database(self.database)):
                undecided.decide(replica)
                shards.discard(shard)
            if shards:
                raise Unavailable(
                    "STORE_UNAVAILABLE", f"store: no replica answers of {len(shards)} shards"
                )
            self._settled_writes = failed

    def _send(self, pool: Pool[Client], work: Callable[[Client], Any]) -> Any:
        """What `work` returns, which gets a connection."""
        left = QUORUM_TRIES if self._quorum > 1 else 1
        while True:
            left -= 1
            try:
                with pool.lend() as client:
                    try:
                        return work(client)
                    except Exception as error:
                        raise self._failure(error) from error
            except (Unavailable, StoreError) as refused:
                if getattr(refused.__cause__, "code", 0) not in _WAITED_FOR or not left:
                    raise
            time.sleep(QUORUM_PAUSE_S)

    def _define(self, statements: list[str]) -> None:
        """Run definitions of tables, of which a run that was killed may have done some already.

        Raises:
            StoreError: one is refused, or all were done before.
        """
        done, repeated = False, None
        for statement in statements:
            pools = [self._pool]
            if " ON CLUSTER " not in statement:
                pools = [
                    Pool(
                        partial(self._new_client, None, Hosts([(row["host"], row["port"])])),
                        self._lifeline.drop,
                    )
                    for row in self._servers()
                ]
            for pool in pools:
                try:
                    self._execute(pool, statement, [])
                    done = True
                except StoreError as error:
                    if error.code not in ALREADY_DONE_CODES:
                        raise
                    repeated = error
                finally:
                    if pool is not self._pool:
                        pool.close()
        if repeated is not None and not done:
            raise repeated

    def _exactly(self, exact: bool) -> dict[str, int]:
        return EXACT if exact and self._quorum > 1 else {}

    def _find_all(self, client: Client, statement: str, exact: bool) -> None:
        if exact and self._may_lack:
            await_fetches(client, self.cluster, self.database, statement)

    def running(self, condition: str) -> set[str]:
        """See Store.running."""
        sql = """
            SELECT query_id FROM system.processes
            WHERE substring(query, 1, 6) = 'INSERT' AND position(query, %(condition)s) > 0
            """
        if not self.cluster:
            return set(self.query(sql, {"condition": condition})["query_id"].to_pylist())
        found: set[str] = set()
        for _, server in self._answering("default"):
            try:
                found |= set(server.query(sql, {"condition": condition})["query_id"].to_pylist())
            except Unavailable:  # what does not answer runs nothing
                continue
        return found

    def _answering(self, database: str) -> Iterator[tuple[int, "ClickHouseStore"]]:
        """Each replica of the cluster that answers, with its shard."""
        for row in self._servers():
            if greets(row["host"], row["port"]):
                with closing(self._other(row["host"], row["port"], database)) as replica:
                    yield row["shard"], replica

    def _servers(self) -> list[dict[str, Any]]:
        """shard, host and port of every replica of the cluster."""
        return self.query(
            "SELECT toUInt32(shard_num) AS shard, host_address AS host, toUInt32(port) AS port "
            "FROM system.clusters WHERE cluster = %(cluster)s ORDER BY shard, replica_num",
            {"cluster": self.cluster},
        ).to_pylist()

    def insert(self, table: str, columns: Columns) -> int:
        """See Store.insert."""
        rows = as_table(columns)
        if not rows.num_rows:
            return 0
        names = ", ".join(checked_name(name) for name in rows.column_names)
        statement = f"INSERT INTO {checked_table_name(table)} ({names}) VALUES"
        # The driver writes numpy columns fast, but no arrays.
        has_lists = any(pa.types.is_list(column_type) for column_type in rows.schema.types)
        values = [as_list(column) if has_lists else as_numpy(column) for column in rows.columns]
        settings = {"use_numpy": not has_lists, "insert_block_size": rows.num_rows}
        self._write(
            self._pool,
            lambda client: client.execute(statement, values, columnar=True, settings=settings),
        )
        row_count: int = rows.num_rows
        return row_count

    def use(self, database: str) -> None:
        """See Store.use."""
        names = [checked_name(database)]
        where = ""
        if self.cluster:
            names.append(shard_database(database))
            where = f" ON CLUSTER {self.cluster}"
        client = self._new_client("default")
        try:
            for name in names:
                client.execute(f"CREATE DATABASE IF NOT EXISTS {name}{where}")
        except Exception as error:
            raise self._failure(error) from error
        finally:
            self._lifeline.drop(client)
        self.database = database
        self._pool.renew()

    @contextmanager
    def shards(self) -> Iterator[Sequence["ClickHouseStore"]]:
        """See Store.shards."""
        if not self.cluster:
            yield [self]
            return
        found = self._servers()
        shards: list[ClickHouseStore] = []
        try:
            for shard in sorted({row["shard"] for row in found}):
                replicas = [row for row in found if row["shard"] == shard]
                shards.append(self._first_answering(replicas))
            yield shards
        finally:
            for opened in shards:
                opened.close()

    def _first_answering(self, replicas: list[dict[str, Any]]) -> "ClickHouseStore":
        for at, replica in enumerate(replicas):
            try:
                return self._other(replica["host"], replica["port"], shard_database(self.database))
            except Unavailable:
                if at == len(replicas) - 1:
                    raise
        raise StoreError(0, f"cluster {self.cluster} has no servers")

    def _other(self, host: str, port: int, database: str) -> "ClickHouseStore":
        return ClickHouseStore(
            host, port, database, self._user, self._password, lifeline=self._lifeline
        )

    def close(self) -> None:
        """Close the connections; closing again does nothing."""
        self._pool.close()

    def _new_client(self, database: str | None = None, hosts: Hosts | None = None) -> Client:
        """A connection to a server that answers.

        Raises:
            Unavailable: STORE_UNAVAILABLE.
            StoreError: the server refuses.
        """
        hosts = hosts or self._hosts
        (host, port), *others = hosts.in_order()
        client = Client(
            host,
            port,
            alt_hosts=",".join(f"{name}:{number}" for name, number in others),
            database=database or self.database,
            user=self._user,
            password=self._password,
            client_name="zhengming",
            settings=self._settings(),
            connect_timeout=CONNECT_TIMEOUT_S,
            send_receive_timeout=STATEMENT_TIMEOUT_S,
            tcp_keepalive=True,
        )
        self._lifeline.hold(client)
        try:
            client.connection.connect()
        except Exception as error:
            self._lifeline.drop(client)
            raise self._failure(error) from error
        hosts.answered((client.connection.host, client.connection.port))
        return client

    def _settings(self) -> dict[str, Any] | None:
        if not self.cluster:
            return None
        quorum = {"insert_quorum": self._quorum, "insert_quorum_timeout": QUORUM_TIMEOUT_MS}
        if self._quorum > 1 and self.engine_version >= (20, 10):  # reads are exact only then
            quorum["insert_quorum_parallel"] = 0
        return {**_CLUSTER_SETTINGS, **(quorum if self._quorum > 1 else {})}

    def _failure(self, error: Exception) -> Exception:
        if isinstance(error, driver_errors.ServerException):
            return engine_failure(error.code, error.message)
        if isinstance(error, UNANSWERED):
            return Unavailable("STORE_UNAVAILABLE", f"store: no answer from {self._hosts}")
        if isinstance(error, driver_errors.Error):
            return StoreError(error.code, type(error).__name__)
        return error

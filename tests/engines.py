"""The two engines as fixtures, started once a session, with a fresh database for each test."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest

from services.common.store import Store
from services.common.store.chdb import ChdbStore
from services.common.store.clickhouse import ClickHouseStore
from tests.clickhouse_server import ClickHouseServer
from tests.cluster import Cluster

S = TypeVar("S", ChdbStore, ClickHouseStore)

_database_numbers = count(1)


@pytest.fixture(scope="session")
def chdb_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one path that this test process opens: the engine allows no second."""
    return tmp_path_factory.mktemp("chdb")


@pytest.fixture(scope="session")
def chdb_engine(chdb_path: Path) -> Iterator[ChdbStore]:
    """The embedded engine, kept open so that opening a store for a test is cheap."""
    store = ChdbStore(chdb_path, "default")
    yield store
    store.close()


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator[ClickHouseServer]:
    """One server for the whole session; a test that kills one starts its own."""
    with ClickHouseServer() as server:
        yield server


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two shards for the whole session."""
    with Cluster(shards=2) as running:
        yield running


@pytest.fixture(scope="session")
def replicated() -> Iterator[Cluster]:
    """Two shards of two replicas for the whole session; a test that kills one starts it again."""
    with Cluster(shards=2, replicas=2) as running:
        yield running


@pytest.fixture
def chdb_store(chdb_engine: ChdbStore, chdb_path: Path) -> Iterator[ChdbStore]:
    """A store in the embedded engine with an empty database of its own."""
    yield from _in_fresh_database(lambda database: ChdbStore(chdb_path, database))


@pytest.fixture
def clickhouse_store(clickhouse_server: ClickHouseServer) -> Iterator[ClickHouseStore]:
    """A store on the server with an empty database of its own."""
    yield from _in_fresh_database(
        lambda database: ClickHouseStore("127.0.0.1", clickhouse_server.tcp_port, database)
    )


@pytest.fixture(params=["chdb", "clickhouse"])
def either(request: pytest.FixtureRequest) -> Store:
    """A test that takes this runs once on each engine."""
    store: Store = request.getfixturevalue(f"{request.param}_store")
    return store


def _in_fresh_database(open_in: Callable[[str], S]) -> Iterator[S]:
    database = f"test_{next(_database_numbers)}"
    store = open_in(database)
    yield store
    store.execute(f"DROP DATABASE IF EXISTS {database}")
    store.close()

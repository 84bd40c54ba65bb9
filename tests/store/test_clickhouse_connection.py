"""A server that goes away, comes back, or refuses."""

import pytest

from services.common.errors import Unavailable
from services.common.store import StoreError, open_store
from services.common.store.clickhouse import ClickHouseStore
from tests.clickhouse_server import ClickHouseServer, free_ports
from tests.store.cutting_proxy import CuttingProxy


def test_a_url_creates_its_database(clickhouse_server: ClickHouseServer) -> None:
    store = open_store(clickhouse_server.url("made_by_url"))
    name = store.query("SELECT currentDatabase() AS name")["name"].to_pylist()
    store.execute("DROP DATABASE made_by_url")
    store.close()

    assert name == ["made_by_url"]
    assert store.engine_version >= (18, 16)


def test_a_port_where_nothing_listens_is_unavailable() -> None:
    (port,) = free_ports(1)

    with pytest.raises(Unavailable) as caught:
        open_store(f"clickhouse://127.0.0.1:{port}/zhengming")

    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert "\n" not in str(caught.value)


def test_a_wrong_password_is_a_store_error_without_the_password(
    clickhouse_server: ClickHouseServer,
) -> None:
    address = f"127.0.0.1:{clickhouse_server.tcp_port}"

    with pytest.raises(StoreError) as caught:
        open_store(f"clickhouse://default:hunter2@{address}/default")

    assert caught.value.code in {192, 193, 516}
    assert "hunter2" not in str(caught.value)


def test_a_restarted_server_is_found_again() -> None:
    with ClickHouseServer() as server:
        store = open_store(server.url("zhengming"))
        store.execute("CREATE TABLE kept (number Int64) ENGINE = MergeTree ORDER BY number")
        store.insert("kept", {"number": [1]})
        server.kill()

        with pytest.raises(Unavailable) as lost_read:
            store.query("SELECT number FROM kept")
        with pytest.raises(Unavailable) as lost_insert:
            store.insert("kept", {"number": [2]})
        server.start()
        store.insert("kept", {"number": [3]})
        read = store.query("SELECT number FROM kept ORDER BY number")
        store.close()

    assert lost_read.value.reason == lost_insert.value.reason == "STORE_UNAVAILABLE"
    assert read["number"].to_pylist() == [1, 3]


def test_a_read_whose_connection_is_cut_is_sent_once_more(
    clickhouse_server: ClickHouseServer, clickhouse_store: ClickHouseStore
) -> None:
    with CuttingProxy(clickhouse_server.tcp_port, b"SELECT 42", cut_count=1) as proxy:
        store = ClickHouseStore("127.0.0.1", proxy.port, clickhouse_store.database)

        read = store.query("SELECT 42 AS answer")

        store.close()
    assert read["answer"].to_pylist() == [42]
    assert proxy.seen_count == 2


def test_a_read_is_not_sent_a_third_time(
    clickhouse_server: ClickHouseServer, clickhouse_store: ClickHouseStore
) -> None:
    with CuttingProxy(clickhouse_server.tcp_port, b"SELECT 42", cut_count=9) as proxy:
        store = ClickHouseStore("127.0.0.1", proxy.port, clickhouse_store.database)

        with pytest.raises(Unavailable):
            store.query("SELECT 42 AS answer")

        store.close()
    assert proxy.seen_count == 2


def test_an_insert_whose_connection_is_cut_is_not_sent_again(
    clickhouse_server: ClickHouseServer, clickhouse_store: ClickHouseStore
) -> None:
    clickhouse_store.execute("CREATE TABLE kept (number Int64) ENGINE = MergeTree ORDER BY number")
    with CuttingProxy(clickhouse_server.tcp_port, b"INSERT INTO kept", cut_count=1) as proxy:
        store = ClickHouseStore("127.0.0.1", proxy.port, clickhouse_store.database)

        with pytest.raises(Unavailable) as caught:
            store.insert("kept", {"number": [1]})

        store.close()
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert proxy.seen_count == 1
    assert clickhouse_store.query("SELECT number FROM kept").num_rows == 0

"""A store URL may name several servers of a cluster: statements go to one that answers."""

import time

import pytest

from services.common.errors import Unavailable
from services.common.store import clickhouse, open_store
from services.common.store.hosts import Hosts, read_hosts
from tests.clickhouse_server import free_ports
from tests.cluster import NAME, Cluster

BACKOFF_S = 60
"""A server looks again for what it could not fetch after ten seconds or more."""
TABLE = "CREATE TABLE kept (number Int64) ENGINE = MergeTree ORDER BY number"


def url(database, *ports):
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"clickhouse://{hosts}/{database}?cluster={NAME}"


def read_in_time(reader):
    """What an exact read answers once the replicas have fetched what they lack."""
    until = time.monotonic() + BACKOFF_S
    while True:
        try:
            return reader.query("SELECT number FROM kept", exact=True)
        except Unavailable:
            assert time.monotonic() < until


@pytest.fixture(scope="module")
def shard():
    """One shard of three replicas: one may be lost, and two still acknowledge."""
    with Cluster(shards=1, replicas=3) as running:
        yield running


def ports_of(shard):
    return [server.tcp_port for server in shard.servers[0]]


def test_who_answered_last_is_asked_first():
    hosts = Hosts(read_hosts("a:1,b,c:3"))

    hosts.answered(("b", 9000))

    assert hosts.in_order() == [("b", 9000), ("c", 3), ("a", 1)]
    assert str(hosts) == "b:9000, c:3, a:1"


def test_a_server_that_is_not_there_is_passed_over(shard):
    (nobody,) = free_ports(1)

    store = open_store(url("passed_over", nobody, *ports_of(shard)))
    store.execute(TABLE)
    store.insert("kept", {"number": [1, 2]})
    found = store.query("SELECT count() AS n FROM kept")
    store.close()

    assert found["n"].to_pylist() == [2]


def test_where_none_answers_all_are_named():
    ports = free_ports(2)

    with pytest.raises(Unavailable) as caught:
        open_store(url("nowhere", *ports))

    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert all(f"127.0.0.1:{port}" in str(caught.value) for port in ports)


def test_the_first_server_is_killed_and_what_was_acknowledged_is_there(shard):
    store = open_store(url("first_killed", *ports_of(shard)))
    store.execute(TABLE)
    store.insert("kept", {"number": [1]})
    first = shard.servers[0][0]

    first.kill()
    try:
        read = store.query("SELECT number FROM kept", exact=True)
        store.insert("kept", {"number": [2]})  # two of three replicas have it
        begun = open_store(url("first_killed", *ports_of(shard)))
        later = begun.query("SELECT number FROM kept ORDER BY number", exact=True)
        begun.close()
    finally:
        first.start()
    back = open_store(first.url("first_killed_shard"))
    back.execute("SYSTEM SYNC REPLICA first_killed_shard.kept")
    caught_up = back.query("SELECT number FROM kept ORDER BY number")
    back.close()
    store.close()

    assert read["number"].to_pylist() == [1]
    assert later["number"].to_pylist() == caught_up["number"].to_pylist() == [1, 2]


def test_an_exact_read_passes_over_a_replica_that_fetches_still(shard):
    first, second, third = shard.servers[0]
    writer = open_store(url("passed_on", first.tcp_port, second.tcp_port))
    writer.execute(TABLE)
    fetches = open_store(third.url("passed_on_shard"))
    fetches.execute("SYSTEM STOP FETCHES")
    writer.insert("kept", {"number": [1]})  # first and second have it
    reader = open_store(url("passed_on", third.tcp_port))

    stayed = reader.query("SELECT number FROM kept")
    found = reader.query("SELECT number FROM kept", exact=True)
    fetches.execute("SYSTEM START FETCHES")
    for store in (writer, reader, fetches):
        store.close()

    assert not stayed.num_rows
    assert found["number"].to_pylist() == [1]


def test_an_exact_read_passes_over_a_replica_that_has_the_newest_part_and_lacks_one_before(shard):
    first, second, third = shard.servers[0]
    writer = open_store(url("one_before", first.tcp_port))
    writer.execute(TABLE)
    of_first, of_second, of_third = (
        open_store(server.url("one_before_shard")) for server in (first, second, third)
    )
    of_second.execute("SYSTEM STOP FETCHES")
    writer.insert("kept", {"number": [1]})  # first and third have it
    for sends in (of_first, of_third):
        sends.execute("SYSTEM STOP REPLICATED SENDS")
    of_second.execute("SYSTEM START FETCHES")
    reader = open_store(url("one_before", second.tcp_port))
    reader.insert("kept", {"number": [2]})  # second has it, and another one

    stayed = reader.query("SELECT number FROM kept")
    found = reader.query("SELECT sum(number) AS n FROM kept WHERE number IN (1, 2)", exact=True)
    reader.execute("CREATE TABLE copied (number Int64) ENGINE = MergeTree ORDER BY number")
    reader.execute("INSERT INTO copied (number) SELECT number FROM kept", exact=True)
    copied = reader.query("SELECT sum(number) AS n FROM copied", exact=True)
    for store in (of_first, of_third):
        store.execute("SYSTEM START REPLICATED SENDS")
    for store in (writer, reader, of_first, of_second, of_third):
        store.close()

    assert stayed["number"].to_pylist() == [2]
    assert found["n"].to_pylist() == copied["n"].to_pylist() == [3]


def test_an_exact_read_is_refused_for_now_where_all_that_answer_fetch_still(shard):
    first, second, third = shard.servers[0]
    writer = open_store(url("fetching", first.tcp_port, second.tcp_port))
    writer.execute(TABLE)
    fetches = open_store(third.url("fetching_shard"))
    fetches.execute("SYSTEM STOP FETCHES")
    writer.insert("kept", {"number": [1]})  # first and second have it
    reader = open_store(url("fetching", third.tcp_port))

    for server in (first, second):
        server.kill()
    try:
        with pytest.raises(Unavailable) as lacking:
            reader.query("SELECT number FROM kept", exact=True)
        later = reader.query("SELECT number FROM kept")
    finally:
        for server in (first, second):
            server.start()
    fetches.execute("SYSTEM START FETCHES")
    found = read_in_time(reader)
    for store in (writer, reader, fetches):
        store.close()

    assert lacking.value.reason == "STORE_UNAVAILABLE"
    assert not later.num_rows
    assert found["number"].to_pylist() == [1]


def test_a_replica_of_another_shard_that_has_fetched_is_found():
    numbers = list(range(16))
    with Cluster(shards=2, replicas=3) as cluster:
        first, second, _ = cluster.servers[1]
        reader = open_store(cluster.url("elsewhere"))
        reader.execute(TABLE)
        fetches = open_store(first.url("elsewhere_shard"))
        fetches.execute("SYSTEM STOP FETCHES")
        writer = open_store(url("elsewhere", second.tcp_port))
        writer.insert("kept", {"number": numbers})

        behind = fetches.query("SELECT number FROM kept")
        found = reader.query("SELECT number FROM kept", exact=True)
        for store in (writer, reader, fetches):
            store.close()

    assert not behind.num_rows
    assert sorted(found["number"].to_pylist()) == numbers


def undecided(shard, database, monkeypatch):
    """A store of whose one insert the first server has the rows, and no second one has them yet.

    Returns:
        The store, and those of the servers that do not fetch.
    """
    monkeypatch.setattr(clickhouse, "QUORUM_TIMEOUT_MS", 500)
    first, *others = shard.servers[0]
    writer = open_store(url(database, first.tcp_port))
    writer.execute(TABLE)
    fetching = [open_store(server.url(f"{database}_shard")) for server in others]
    for store in fetching:
        store.execute("SYSTEM STOP FETCHES")
    with pytest.raises(Unavailable):
        writer.insert("kept", {"number": [1]})
    return writer, fetching


@pytest.mark.parametrize("who", ["who wrote it", "who takes over"])
def test_an_exact_read_waits_for_an_insert_that_stands_half_way(shard, who, monkeypatch):
    database = f"half_way_{who[4:].split()[0]}"
    writer, fetching = undecided(shard, database, monkeypatch)
    reader = writer
    if who == "who takes over":
        reader = open_store(url(database, shard.servers[0][1].tcp_port))
        reader.doubt()

    with pytest.raises(Unavailable) as early:
        reader.query("SELECT number FROM kept", exact=True)
    for store in fetching:
        store.execute("SYSTEM START FETCHES")
    found = read_in_time(reader)
    for store in {writer, reader, *fetching}:
        store.close()

    assert "undecided" in str(early.value)
    assert found["number"].to_pylist() == [1]


def test_a_part_that_zookeeper_does_not_know_is_put_aside_before_an_exact_read(shard):
    first = shard.servers[0][0]
    writer = open_store(url("unknown_part", first.tcp_port))
    writer.execute(TABLE)
    for number in (1, 2):
        writer.insert("kept", {"number": [number]})
    replica = open_store(first.url("unknown_part_shard"))
    places = replica.query(
        "SELECT replica_path FROM system.replicas WHERE database = 'unknown_part_shard'"
    )
    shard.keeper.forget(f"{places['replica_path'][0].as_py()}/parts/all_0_0_0")

    shown = writer.query("SELECT number FROM kept ORDER BY number", exact=True)
    writer.doubt()
    decided = writer.query("SELECT number FROM kept", exact=True)
    put_aside = list((first.root / "data/data/unknown_part_shard/kept/detached").iterdir())
    for store in (writer, replica):
        store.close()

    assert shown["number"].to_pylist() == [1, 2]
    assert decided["number"].to_pylist() == [2]
    assert [path.name for path in put_aside] == ["ignored_all_0_0_0"]

"""One store over two shards: the same statements, the rows spread by number."""

import numpy as np
import pytest

from services.application import ROOT
from services.common.migrate import migrate
from services.common.store import open_store
from services.common.store.cluster import distributed_statements
from services.configuration import NAMES as SERVICES


@pytest.fixture(scope="module")
def store(cluster):
    opened = open_store(cluster.url("spread"))
    for name in SERVICES:
        migrate(opened, name, ROOT / name / "schema", clock=lambda: 0)
    yield opened
    opened.close()


def marks(count, first_key=2):
    keys = np.arange(count, dtype=np.uint64)
    return {
        "number": (1 << 60) + 8613800138000 + np.arange(count) // 2,
        "occurred_ms": np.arange(count),
        "source": np.ones(count, dtype=np.uint64),
        "label": np.ones(count, dtype=np.uint64),
        "reporter": keys,
        "origin": np.zeros(count, dtype=np.uint32),
        "kind": np.ones(count, dtype=np.uint8),
        "withdrawn": np.zeros(count, dtype=np.uint8),
        "call_ms": np.zeros(count, dtype=np.int64),
        "mark_key": first_key + 2 * keys,
        "mark_check": keys,
        "seq": keys,
        "received_ms": np.arange(count),
    }


def test_rows_are_spread_by_number_and_read_as_one_table(store):
    store.insert("marks", marks(1_000))

    assert store.query("SELECT count() AS n FROM marks")["n"].to_pylist() == [1_000]
    with store.shards() as shards:
        held = [
            set(shard.query("SELECT DISTINCT number FROM marks")["number"].to_pylist())
            for shard in shards
        ]
    assert len(held) == 2
    assert not held[0] & held[1]
    assert min(map(len, held)) > 100


def test_keys_of_one_table_select_rows_of_another_over_all_shards(store):
    known = store.query(
        "SELECT count() AS n FROM marks WHERE number IN (SELECT number FROM {asked})"
        " AND mark_key IN (SELECT mark_key FROM marks WHERE reporter < 10)",
        tables={"asked": {"number": marks(10)["number"]}},
    )

    assert known["n"].to_pylist() == [10]


def test_a_block_of_changes_lies_on_one_shard(store):
    numbers = marks(400)["number"]
    store.insert(
        "changes",
        {
            "seq": np.arange(400, dtype=np.uint64),
            "number": numbers,
            "committed_ms": np.zeros(400, dtype=np.int64),
        },
    )

    with store.shards() as shards:
        counts = [
            shard.query("SELECT count() AS n FROM changes")["n"][0].as_py() for shard in shards
        ]

    assert sorted(counts) == [0, 400]


def test_a_partition_is_dropped_on_every_shard(store):
    for run in (1, 2):
        store.insert(
            "suspicions",
            {
                "run": np.full(100, run, dtype=np.uint64),
                "number": marks(100)["number"],
                "mark_key": np.arange(100, dtype=np.uint64),
                "honesty": np.zeros(100, dtype=np.float32),
            },
        )

    store.execute("ALTER TABLE suspicions DROP PARTITION 1")

    left = store.query("SELECT run, count() AS n FROM suspicions GROUP BY run").to_pylist()
    assert left == [{"run": 2, "n": 100}]


def test_migrations_are_applied_once(store):
    assert [migrate(store, name, ROOT / name / "schema", clock=lambda: 0) for name in SERVICES] == [
        []
    ] * len(SERVICES)


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE t (a UInt8) ENGINE = Memory", "CREATE TABLE t AS other"]
)
def test_a_table_that_cannot_be_spread_is_refused(statement):
    with pytest.raises(ValueError, match="no MergeTree table"):
        distributed_statements(statement, "c", "d")

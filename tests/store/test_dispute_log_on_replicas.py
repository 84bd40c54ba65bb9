"""Who writes the log of disputes reads all of it: no replica that is behind forks the chain."""

import pytest

from services.application import ROOT
from services.arbitration.disputes import queries
from services.arbitration.disputes.events import START, Step, seal
from services.arbitration.disputes.words import Kind
from services.common.migrate import migrate_services
from services.common.store import open_store
from tests.cluster import NAME, Cluster


@pytest.fixture
def shard():
    with Cluster(shards=1, replicas=3) as running:
        yield running


def test_a_replica_that_is_behind_does_not_say_where_the_chain_ends(shard):
    first, _, third = shard.servers[0]
    writer = open_store(f"{first.url('chain')}?cluster={NAME}")
    migrate_services(writer, ROOT, ["arbitration"], clock=lambda: 0)
    filed = seal([("one", 13800200000, Step(Kind.FILED))], 0, START, now_ms=1)
    queries.insert_events(writer, None, filed)
    behind = open_store(third.url("chain_shard"))
    behind.execute("SYSTEM SYNC REPLICA chain_shard.dispute_events")  # two of three were enough
    behind.execute("SYSTEM STOP FETCHES")
    later = seal([("one", 13800200000, Step(Kind.ACKNOWLEDGED))], 1, filed[-1].hash, now_ms=2)
    queries.insert_events(writer, None, later)
    reader = open_store(f"{third.url('chain')}?cluster={NAME}")

    end = queries.head(reader)
    exact = queries.events_of(reader, ["one"], exact=True)["one"]
    shown = queries.events_of(reader, ["one"])["one"]
    for store in (writer, behind, reader):
        store.close()

    assert end == (2, later[-1].hash)
    assert [event.seq for event in exact] == [1, 2]
    assert [event.seq for event in shown] == [1]

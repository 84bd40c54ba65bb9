"""Two shards of two replicas: a replica is killed under ingest, and nothing that was acknowledged
is lost or doubled."""

import signal
import threading
import time
import uuid

import grpc
import numpy as np
import pytest

from services.common.store import open_store
from tests.e2e.conftest import Services
from tests.faults.test_handover import seen, submit
from zhengming.ingest.v1 import ingest_pb2 as pb

DEADLINE_S = 240
NUMBERS = [f"+861380013{i:04d}" for i in range(200)]


def batch(number):
    """A request of five marks of a number."""
    marks = []
    for i in range(5):
        mark = pb.Mark(mark_id=uuid.uuid4().hex, number=number, label="广告推销", reporter=f"r{i}")
        mark.occurred_time.FromMilliseconds(time.time_ns() // 1_000_000 - 60_000)
        marks.append(mark)
    return pb.SubmitMarksRequest(source="app-one", marks=marks)


@pytest.fixture
def services(replicated, tmp_path):
    running = Services(replicated.url("loss"), tmp_path)
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)


def test_a_mark_becomes_visible_on_two_shards_of_two_replicas(services):
    submit(services, "13900138001", 4)

    assert seen(services, "13900138001", 4).category.startswith("A32")


@pytest.mark.timeout(900)
def test_what_is_acknowledged_outlives_a_replica_and_stands_once(services, replicated):
    waiting = [batch(number) for number in NUMBERS]
    refused = threading.Event()
    acknowledged: list[int] = []
    some = threading.Event()

    def send():
        until, pause = time.monotonic() + DEADLINE_S, threading.Event()
        for at, request in enumerate(waiting):
            while at not in acknowledged:
                try:
                    services.stubs.ingest.SubmitMarks(request, timeout=60)
                    acknowledged.append(at)
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        return
                    refused.set()
                    if time.monotonic() > until:
                        return
                    pause.wait(0.5)
            if at == 10:
                some.set()

    sender = threading.Thread(target=send)
    sender.start()
    assert some.wait(DEADLINE_S)
    victim = replicated.servers[1][0]  # where writes and reads of the second shard go first

    victim.kill()
    assert refused.wait(DEADLINE_S)  # one replica alone acknowledges nothing
    before = sorted(acknowledged)
    store = open_store(replicated.url("loss"))
    keys = store.query(
        "SELECT count() AS n, uniqExact(number) AS numbers FROM marks WHERE number IN %(asked)s",
        {"asked": tuple((1 << 60) + int(NUMBERS[at][1:]) for at in before)},
    ).to_pylist()
    victim.start()
    sender.join(DEADLINE_S)

    assert keys == [{"n": 5 * len(before), "numbers": len(before)}]
    assert sorted(acknowledged) == list(range(len(NUMBERS)))
    found = store.query(
        "SELECT number, count() AS n, uniqExact(mark_key) AS distinct FROM marks"
        " WHERE number IN %(asked)s GROUP BY number",
        {"asked": np.array([(1 << 60) + int(number[1:]) for number in NUMBERS])},
    )
    assert found.num_rows == len(NUMBERS)
    assert set(found["n"].to_pylist()) == set(found["distinct"].to_pylist()) == {5}
    seen(services, NUMBERS[-1], 5)
    for shard in replicated.servers:  # each replica has what the other one has
        totals = set()
        for server in shard:
            replica = open_store(server.url("loss_shard"))
            replica.execute("SYSTEM SYNC REPLICA loss_shard.marks")
            totals.add(replica.query("SELECT count() AS n FROM marks")["n"][0].as_py())
            replica.close()
        assert len(totals) == 1
    store.close()

"""What is down or hangs takes away what depends on it, and nothing else; answers say it."""

import os
import signal
import threading
import time
import uuid

import grpc
import pytest

from services.common import rpc
from tests.clickhouse_server import ClickHouseServer, free_ports
from tests.e2e.conftest import Services
from tests.e2e.test_lookup_processes import Lookups
from tests.faults.test_handover import seen, submit
from zhengming.ingest.v1 import ingest_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2, reputation_pb2_grpc

DEADLINE_S = 120
STALE_S = "2"
NUMBER = "13800138001"


def until(condition):
    """What a condition finds, once it finds something."""
    end, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while not (found := condition()):
        assert time.monotonic() < end
        pause.wait(0.05)
    return found


def look_up(services):
    request = reputation_pb2.GetReputationRequest(number=NUMBER)
    return services.stubs.reputation.GetReputation(request, timeout=DEADLINE_S)


def version(services):
    request = reputation_pb2.GetVersionRequest()
    return services.stubs.reputation.GetVersion(request, timeout=DEADLINE_S)


def batch(services):
    request = reputation_pb2.BatchGetReputationsRequest(numbers=[NUMBER])
    return services.stubs.reputation.BatchGetReputations(request, timeout=DEADLINE_S)


def a_mark(services, timeout_s):
    """Send one; the error that it is refused with."""
    mark = pb.Mark(mark_id=uuid.uuid4().hex, number=NUMBER, label="房产中介", reporter="r")
    mark.occurred_time.FromMilliseconds(time.time_ns() // 1_000_000 - 60_000)
    request = pb.SubmitMarksRequest(source="app-one", marks=[mark])
    with pytest.raises(grpc.RpcError) as caught:
        services.stubs.ingest.SubmitMarks(request, timeout=timeout_s)
    return caught.value


@pytest.fixture
def server():
    made = ClickHouseServer()
    made.start()
    yield made
    made.remove()


@pytest.fixture
def all_in_one(server, tmp_path):
    running = Services(server.url("degraded"), tmp_path, ZHENGMING_STALE_S=STALE_S)
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGKILL)


@pytest.mark.timeout(600)
def test_without_the_store_lookups_go_on_and_say_that_they_are_stale(server, all_in_one, tmp_path):
    lookups = Lookups(tmp_path / "published", 1, ZHENGMING_STALE_S=STALE_S)
    channel = rpc.connect(lookups.address)
    apart = reputation_pb2_grpc.ReputationServiceStub(channel)
    submit(all_in_one, NUMBER, 5)
    before = seen(all_in_one, NUMBER, 5)
    until(lambda: version(all_in_one).HasField("age"))
    assert not before.stale

    server.kill()

    stale = until(lambda: (found := look_up(all_in_one)).stale and found)
    stale.ClearField("stale")
    assert stale == before
    assert batch(all_in_one).stale
    assert version(all_in_one).age.seconds >= 2
    request = reputation_pb2.GetReputationRequest(number=NUMBER)
    until(lambda: apart.GetReputation(request, timeout=DEADLINE_S).stale)
    refused = a_mark(all_in_one, DEADLINE_S)
    assert refused.code() is grpc.StatusCode.UNAVAILABLE
    assert rpc.retry_delay_s(refused) >= 1

    server.start()

    submit(all_in_one, NUMBER, 2, first=5)
    until(lambda: not look_up(all_in_one).stale)
    until(lambda: not apart.GetReputation(request, timeout=DEADLINE_S).stale)
    seen(all_in_one, NUMBER, 7)
    channel.close()
    assert lookups.end() == 0


@pytest.mark.timeout(600)
def test_a_store_that_hangs_holds_writes_and_no_lookup(server, all_in_one):
    submit(all_in_one, NUMBER, 5)
    before = seen(all_in_one, NUMBER, 5)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        calls = []
        for _ in range(64):
            mark = pb.Mark(mark_id=uuid.uuid4().hex, number=NUMBER, label="骚扰", reporter="s")
            mark.occurred_time.FromMilliseconds(time.time_ns() // 1_000_000 - 60_000)
            request = pb.SubmitMarksRequest(source="app-one", marks=[mark])
            calls.append(all_in_one.stubs.ingest.SubmitMarks.future(request, timeout=5))

        answers = [look_up(all_in_one) for _ in range(100)]

        codes = {call.exception(DEADLINE_S) and call.code() for call in calls}
        assert codes <= {
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.UNAVAILABLE,
        }
        assert {answer.mark_count for answer in answers} == {before.mark_count}
    finally:
        os.kill(server.pid, signal.SIGCONT)
    submit(all_in_one, "13800138002", 3)
    seen(all_in_one, "13800138002", 3)


@pytest.mark.timeout(600)
def test_without_the_services_that_judge_lookups_go_on_and_say_that_they_are_stale(
    server, tmp_path
):
    ports = free_ports(2)
    here, there = (f"127.0.0.1:{port}" for port in ports)
    judging = ("features", "scoring", "arbitration")
    addresses = {f"ZHENGMING_{name.upper()}_ADDRESS": there for name in judging}
    addresses |= {f"ZHENGMING_{n.upper()}_ADDRESS": here for n in ("ingest", "reputation")}
    url = server.url("judging")

    def begin_judging():
        mine = {k: v for k, v in addresses.items() if v == here}
        return Services(url, tmp_path, *judging, ZHENGMING_ADDRESS=there, **mine)

    judges = begin_judging()
    theirs = {k: v for k, v in addresses.items() if v == there}
    front = Services(
        url,
        tmp_path,
        "ingest",
        "reputation",
        ZHENGMING_ADDRESS=here,
        ZHENGMING_STALE_S=STALE_S,
        **theirs,
    )
    try:
        submit(front, NUMBER, 5)
        before = seen(front, NUMBER, 5)
        judges.end(signal.SIGKILL)

        submit(front, NUMBER, 3, first=5)

        stale = until(lambda: (found := look_up(front)).stale and found)
        assert stale.mark_count == before.mark_count
        judges = begin_judging()
        seen(front, NUMBER, 8)
        until(lambda: not look_up(front).stale)
    finally:
        front.end(signal.SIGTERM)
        judges.end(signal.SIGKILL)

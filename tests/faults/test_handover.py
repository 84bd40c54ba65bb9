"""Two processes over one store: one publishes, and whatever becomes of it, no version is doubled
and none is half there."""

import signal
import threading
import time
import uuid

import grpc
import pytest

from services.cli.session import run_pipeline
from services.common import rpc
from services.common.store import open_store
from tests.e2e.conftest import Services
from zhengming.ingest.v1 import ingest_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2

DEADLINE_S = 120
LEASE_S = "3"


def submit(services, number, count, first=0):
    """Send marks of so many reporters until they are acknowledged; returns their ids."""
    marks = []
    for i in range(first, first + count):
        mark = pb.Mark(mark_id=uuid.uuid4().hex, number=number, label="房产中介", reporter=f"r{i}")
        mark.occurred_time.FromMilliseconds(time.time_ns() // 1_000_000 - 60_000)
        marks.append(mark)
    request = pb.SubmitMarksRequest(source="app-one", marks=marks)
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while True:
        try:
            services.stubs.ingest.SubmitMarks(request, timeout=DEADLINE_S)
            return [mark.mark_id for mark in marks]
        except grpc.RpcError as error:
            assert error.code() in rpc.NOT_BEGUN
            assert time.monotonic() < until
        pause.wait(0.2)


def seen(services, number, count):
    """What a process answers of a number, once it counts so many marks."""
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    request = reputation_pb2.GetReputationRequest(number=number)
    while True:
        found = services.stubs.reputation.GetReputation(request, timeout=DEADLINE_S)
        if found.mark_count == count:
            return found
        assert time.monotonic() < until, found
        pause.wait(0.05)


def versions_seen(services, version):
    """Wait until a process has a version."""
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    request = reputation_pb2.GetVersionRequest()
    while services.stubs.reputation.GetVersion(request, timeout=60).version < version:
        assert time.monotonic() < until
        pause.wait(0.05)


def owner(store, name="reputation"):
    found = store.query(
        "SELECT argMax(address, term) AS at FROM leases WHERE name = %(name)s", {"name": name}
    )
    return found["at"][0].as_py()


def taken_over(store, former):
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while owner(store) == former:
        assert time.monotonic() < until
        pause.wait(0.05)


@pytest.fixture(params=["clickhouse", "cluster"])
def url(request):
    if request.param == "cluster":
        return request.getfixturevalue("cluster").url("handover")
    return request.getfixturevalue("clickhouse_server").url("handover")


@pytest.mark.timeout(900)
def test_the_work_goes_from_process_to_process(url, tmp_path):
    def begin(name):
        folder = tmp_path / name
        return Services(
            url,
            tmp_path,
            ZHENGMING_LEASE_S=LEASE_S,
            ZHENGMING_PUBLISHED=str(folder / "published"),
            ZHENGMING_SNAPSHOTS=str(folder / "snapshots"),
        )

    first, second = begin("first"), begin("second")
    store = open_store(url)
    try:
        # Both take marks and answer alike, one of them commits and publishes.
        assert owner(store) == first.address
        submit(first, "13800138001", 3)
        submit(second, "13800138002", 4)
        for number, count in (("13800138001", 3), ("13800138002", 4)):
            assert seen(first, number, count) == seen(second, number, count)

        # Jobs that one starts run at the owner; both have what they publish.
        published = run_pipeline(second.stubs, None, lambda step: None)
        assert published.number_count == 2
        for services in (first, second):
            versions_seen(services, published.version)

        # The owner is killed: the other goes on.
        first.end(signal.SIGKILL)
        submit(second, "13800138003", 5)
        seen(second, "13800138003", 5)
        assert owner(store) == second.address

        # The owner is stopped in its tracks, another takes over, and it wakes up again.
        third = begin("third")
        assert seen(third, "13800138003", 5) == seen(second, "13800138003", 5)
        stuck = threading.Thread(target=submit, args=(second, "13800138004", 6))
        stuck.start()
        second.process.send_signal(signal.SIGSTOP)
        taken_over(store, second.address)
        submit(third, "13800138005", 7)
        seen(third, "13800138005", 7)
        second.process.send_signal(signal.SIGCONT)
        stuck.join(DEADLINE_S)
        submit(second, "13800138006", 8)
        for number, count in (("13800138004", 6), ("13800138005", 7), ("13800138006", 8)):
            assert seen(second, number, count) == seen(third, number, count)
        assert owner(store) == third.address

        # An orderly end hands over at once.
        assert third.end(signal.SIGTERM) == 0
        submit(second, "13800138007", 9)
        seen(second, "13800138007", 9)

        versions = store.query("SELECT version, changed_count FROM versions ORDER BY version")
        rows = store.query("SELECT version, count() AS n FROM published GROUP BY version")
        held = dict(zip(rows["version"].to_pylist(), rows["n"].to_pylist(), strict=True))
        numbers = versions["version"].to_pylist()
        assert len(numbers) == len(set(numbers))
        assert [held.get(v, 0) for v in numbers] == versions["changed_count"].to_pylist()
        seqs = store.query(
            "SELECT count() AS n, uniqExact(seq) AS distinct FROM changes"
        ).to_pylist()
        assert seqs[0]["n"] == seqs[0]["distinct"]
        marks = store.query("SELECT count() AS n, uniqExact(mark_key) AS distinct FROM marks")
        assert marks.to_pylist() == [{"n": 42, "distinct": 42}]
    finally:
        store.close()
        for services in (first, second, third):
            if services.process.poll() is None:
                services.process.send_signal(signal.SIGCONT)
                services.end(signal.SIGTERM)

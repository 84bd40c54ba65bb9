"""Lookups from several processes on one port, which follow a folder that another process writes."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest

from services.cli.certificates import authority_in, issue
from services.common import rpc
from services.common.identity.certificates import watched
from services.reputation.published.packing import NAMES
from services.reputation.snapshot import flatten
from services.reputation.state import PublishedState
from tests.published_rows import key, published
from zhengming.reputation.v1 import reputation_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2_grpc as pb_grpc

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60
FIRST = 8613800138000
ESTABLISHED = 3


class Lookups:
    """`python -m services lookup` in processes of its own."""

    def __init__(self, folder: Path, workers: int, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services", "lookup"],
            cwd=ROOT,
            env={
                **os.environ,
                "ZHENGMING_PUBLISHED": str(folder),
                "ZHENGMING_ADDRESS": "127.0.0.1:0",
                "ZHENGMING_WORKERS": str(workers),
                "ZHENGMING_STORE": "chdb:/nowhere/that/exists",
                "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}",
                **variables,
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("serving on "), line
        self.address = line.split()[-1]

    def ask(self, digits: int) -> pb.Reputation:
        """Over a connection of its own, so that any of the processes may answer."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self.address, options=options) as channel:
            stub = pb_grpc.ReputationServiceStub(channel)
            return stub.GetReputation(
                pb.GetReputationRequest(number=f"+{digits}"),
                timeout=DEADLINE_S,
                wait_for_ready=True,
            )

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def publish(state, version, count=10, marks=1):
    rows = {key(FIRST + i): (3101, 2, ESTABLISHED, marks) for i in range(count)}
    state.apply(published(rows, version), version, version, version, f"c{version}")


def until(condition):
    end, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        pause.wait(0.02)
    raise AssertionError("it never came")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "published"


@pytest.fixture
def state(folder):
    state = PublishedState(folder)
    publish(state, 1)
    yield state
    state.close()


@pytest.fixture
def lookups(state, folder):
    running = Lookups(folder, workers=2)
    yield running
    if running.process.poll() is None:
        running.end()


def test_all_processes_see_what_is_published(state, lookups):
    publish(state, 2, marks=7)

    until(lambda: all(lookups.ask(FIRST).mark_count == 7 for _ in range(12)))

    assert lookups.ask(FIRST + 5_000).state == pb.REPUTATION_STATE_UNKNOWN
    assert lookups.end() == 0


def test_connections_are_shared_by_the_processes(lookups):
    channels = []
    for _ in range(40):
        options = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.insecure_channel(lookups.address, options=options)
        stub = pb_grpc.ReputationServiceStub(channel)
        stub.GetVersion(pb.GetVersionRequest(), timeout=DEADLINE_S)
        channels.append(channel)

    port = int(lookups.address.rsplit(":", 1)[1])
    held = Counter(
        worker.pid
        for worker in lookups.workers()
        for connection in worker.net_connections()
        if connection.laddr.port == port and connection.status == psutil.CONN_ESTABLISHED
    )

    for channel in channels:
        channel.close()
    assert len(held) == 2


def test_a_process_that_is_killed_is_begun_anew(lookups):
    first = {worker.pid for worker in lookups.workers()}
    os.kill(min(first), signal.SIGKILL)

    until(lambda: len({w.pid for w in lookups.workers() if w.is_running()} - first) == 1)

    assert lookups.ask(FIRST).mark_count == 1


def test_a_torn_manifest_leaves_the_last_good_state(state, lookups, folder):
    (folder / "current.json").write_bytes(b'{"mark": {"version"')

    assert all(lookups.ask(FIRST).mark_count == 1 for _ in range(12))

    publish(state, 2, count=50_000, marks=9)
    until(lambda: all(lookups.ask(FIRST + 49_999).mark_count == 9 for _ in range(12)))


def test_bytes_that_are_no_request_are_refused_by_name(lookups):
    with grpc.insecure_channel(lookups.address) as channel:
        for name in ("GetReputation", "BatchGetReputations"):
            call = channel.unary_unary(f"/zhengming.reputation.v1.ReputationService/{name}")

            with pytest.raises(grpc.RpcError) as refused:
                call(b"\xff\xff", timeout=20)

            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_other_calls_are_refused_as_not_served_here(lookups):
    with rpc.connect(lookups.address) as channel:
        stub = pb_grpc.ReputationServiceStub(channel)

        with pytest.raises(grpc.RpcError) as caught:
            stub.ListReputations(pb.ListReputationsRequest(), timeout=DEADLINE_S)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture
def secured(state, folder, tmp_path):
    authority, key_ = authority_in(tmp_path)
    for name in ("zhengming", "app-lan", "judge", "ops", "hasty"):
        issue(tmp_path / name, name, [name, "127.0.0.1"], authority, key_, 9)
    stranger, strange_key = authority_in(tmp_path / "elsewhere")
    issue(tmp_path / "stranger", "app-lan", ["app-lan"], stranger, strange_key, 9)
    shutil.copy(tmp_path / "ca.crt", tmp_path / "stranger" / "ca.crt")
    (tmp_path / "clients.yaml").write_text(
        """
clients:
  - {name: app-lan, scopes: [vendor]}
  - {name: judge, scopes: [reviewer]}
  - {name: ops, scopes: [operator]}
  - {name: hasty, scopes: [vendor], per_minute: {lookups: 5}}
"""
    )
    running = Lookups(
        folder,
        workers=1,
        ZHENGMING_CERTIFICATES=str(tmp_path / "zhengming"),
        ZHENGMING_CLIENTS=str(tmp_path / "clients.yaml"),
    )
    yield running
    running.end()


def ask_as(name, secured, folder, method="GetReputation"):
    with rpc.connect(secured.address, watched(folder.parent / name)) as channel:
        stub = pb_grpc.ReputationServiceStub(channel)
        if method == "LookupColumns":
            keys = np.array([key(FIRST)], dtype="<i8").tobytes()
            return stub.LookupColumns(pb.LookupColumnsRequest(number_keys=keys), timeout=DEADLINE_S)
        return stub.GetReputation(
            pb.GetReputationRequest(number=f"+{FIRST}"), timeout=DEADLINE_S, wait_for_ready=False
        )


def test_behind_tls_a_client_with_the_scope_is_answered(secured, folder):
    assert ask_as("app-lan", secured, folder).mark_count == 1
    assert len(ask_as("app-lan", secured, folder, "LookupColumns").values) == 8


def test_what_decided_is_shown_to_those_who_judge(secured, folder):
    judged, sold = (ask_as(name, secured, folder) for name in ("judge", "app-lan"))

    assert judged.rule
    assert not sold.rule
    judged.ClearField("rule")
    judged.ClearField("model_version")
    assert sold == judged


@pytest.mark.parametrize("method", ["GetReputation", "LookupColumns"])
def test_a_client_without_the_scope_is_told_which(secured, folder, method):
    with pytest.raises(grpc.RpcError) as caught:
        ask_as("ops", secured, folder, method)

    error = rpc.to_domain_error(caught.value)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert error is not None
    assert error.metadata["needs"].startswith("vendor")


def test_over_its_quota_a_client_is_told_when_to_come_again(secured, folder):
    with pytest.raises(grpc.RpcError) as caught:
        for _ in range(6):
            ask_as("hasty", secured, folder)

    error = rpc.to_domain_error(caught.value)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error is not None
    assert int(error.metadata[rpc.RETRY_AFTER]) > 0


def test_a_certificate_of_another_authority_is_not_answered(secured, folder):
    with pytest.raises(grpc.RpcError) as caught:
        ask_as("stranger", secured, folder)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("count", [3, 3_000])
def test_small_and_large_batches_get_the_same_answers(lookups, count):
    texts = [f"+{FIRST + i}" for i in range(count - 1)] + ["no number"]
    with rpc.connect(lookups.address) as channel:
        stub = pb_grpc.ReputationServiceStub(channel)

        answer = stub.BatchGetReputations(
            pb.BatchGetReputationsRequest(numbers=texts), timeout=DEADLINE_S
        )

    assert [result.reputation.number for result in answer.results[:-1]] == texts[:-1]
    assert [result.reputation.mark_count for result in answer.results[:2]] == [1, 1]
    assert answer.results[-1].HasField("error")


WRITER = """
import sys
from pathlib import Path
from services.reputation.state import PublishedState
from tests.published_rows import key, published

state = PublishedState(Path(sys.argv[1]))
version = state.snapshot.version
while True:
    version += 1
    count = 40_000 if version % 5 == 0 else 2_000
    rows = {key(8613800138000 + i): (3101, 2, 3, version) for i in range(count)}
    state.apply(published(rows, version), version, version, version, f"c{version}")
    print(version, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_state(folder):
    newest = 0
    for versions in (3, 1, 4, 1, 5, 2):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            said = [int(writer.stdout.readline()) for _ in range(versions)]
            writer.kill()

        state = PublishedState(folder)
        rows = flatten(state.snapshot, NAMES)
        state.close()
        assert state.snapshot.version >= said[-1] > newest
        newest = state.snapshot.version
        assert (rows["mark_count"] == rows["version"]).all()
        assert int(rows["version"].max()) == newest
        assert int(rows["mark_count"][0]) == newest
        assert len(rows["number"]) == state.snapshot.number_count
        assert (np.diff(rows["number"]) == 1).all()

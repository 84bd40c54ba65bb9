"""What a kubelet is told while a process begins, serves, loses its store and ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.cli.certificates import authority_in, issue
from services.common.health import LIVE, READY, VERSION_KEY
from services.common.version import VERSION
from services.reputation.state import PublishedState
from tests.clickhouse_server import ClickHouseServer, free_ports
from tests.e2e.test_lookup_processes import publish
from zhengming.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from zhengming.reputation.v1 import reputation_pb2, reputation_pb2_grpc

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Process:
    """A process of services with a door for probes."""

    def __init__(self, folder: Path, names: list[str], variables: dict[str, str]) -> None:
        self.port = free_ports(1)[0]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services", *names],
            cwd=folder,
            env={
                **os.environ,
                "ZHENGMING_STORE": f"chdb:{folder / 'store'}",
                "ZHENGMING_ADDRESS": "127.0.0.1:0",
                "ZHENGMING_CONSOLE_ADDRESS": "127.0.0.1:0",
                "ZHENGMING_HEALTH_ADDRESS": f"127.0.0.1:{self.port}",
                "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}",
                **variables,
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        self.door = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        self._health = health_pb2_grpc.HealthStub(self.door)

    def address(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("serving on "), line
        return line.split()[-1]

    def says(self, service: str) -> int:
        request = health_pb2.HealthCheckRequest(service=service)
        return self._health.Check(request, timeout=DEADLINE_S, wait_for_ready=True).status

    def version(self) -> str:
        request = health_pb2.HealthCheckRequest(service=LIVE)
        _, call = self._health.Check.with_call(request, timeout=DEADLINE_S, wait_for_ready=True)
        return dict(call.trailing_metadata())[VERSION_KEY]

    def wait_until_ready_is(self, status: int) -> None:
        until, pause = time.monotonic() + DEADLINE_S, threading.Event()
        while self.says(READY) != status:
            assert time.monotonic() < until, f"readiness never became {status}"
            pause.wait(0.05)


@contextmanager
def running(folder: Path, *names: str, **variables: str) -> Iterator[Process]:
    process = Process(folder, list(names), variables)
    try:
        yield process
    finally:
        process.door.close()
        if process.process.poll() is None:
            process.process.kill()
        process.process.wait()
        assert process.process.stdout is not None
        process.process.stdout.close()


def lookup(channel):
    request = reputation_pb2.GetReputationRequest(number="13800138000")
    stub = reputation_pb2_grpc.ReputationServiceStub(channel)
    return stub.GetReputation(request, timeout=DEADLINE_S)


def test_a_process_is_live_from_the_start_and_ready_when_it_serves(tmp_path):
    with running(tmp_path) as process:
        assert process.says(LIVE) == SERVING
        process.wait_until_ready_is(SERVING)

        assert process.version().split()[0] == VERSION


def test_sigterm_ends_readiness_first_and_calls_last(tmp_path):
    with running(tmp_path, ZHENGMING_DRAIN_S="5") as process:
        with grpc.insecure_channel(process.address()) as channel:
            process.wait_until_ready_is(SERVING)

            process.process.send_signal(signal.SIGTERM)

            process.wait_until_ready_is(NOT_SERVING)
            assert process.says(LIVE) == SERVING
            assert lookup(channel).number == "+8613800138000"
        assert process.process.wait(DEADLINE_S) == 0


def test_the_door_answers_nothing_but_health(tmp_path):
    with running(tmp_path) as process:
        process.wait_until_ready_is(SERVING)
        ingest = ingest_pb2_grpc.IngestServiceStub(process.door)

        with pytest.raises(grpc.RpcError) as caught:
            ingest.SubmitMarks(ingest_pb2.SubmitMarksRequest(source="app"), timeout=DEADLINE_S)
        with pytest.raises(grpc.RpcError) as other:
            lookup(process.door)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert other.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_probes_need_no_certificate_where_calls_do(tmp_path):
    authority, key = authority_in(tmp_path)
    issue(tmp_path / "server", "zhengming", ["localhost", "127.0.0.1"], authority, key, 1)
    (tmp_path / "clients.yaml").write_text("clients: [{name: zhengming, scopes: [service]}]\n")
    with running(
        tmp_path,
        ZHENGMING_CERTIFICATES=str(tmp_path / "server"),
        ZHENGMING_CLIENTS=str(tmp_path / "clients.yaml"),
    ) as process:
        with (
            grpc.insecure_channel(process.address()) as channel,
            pytest.raises(grpc.RpcError) as caught,
        ):
            lookup(channel)
        process.wait_until_ready_is(SERVING)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_lost_store_ends_readiness_and_not_life(tmp_path):
    with (
        ClickHouseServer() as server,
        running(tmp_path, "ingest", ZHENGMING_STORE=server.url("door")) as process,
    ):
        process.wait_until_ready_is(SERVING)

        server.stop()

        process.wait_until_ready_is(NOT_SERVING)
        assert process.says(LIVE) == SERVING
        server.start()
        process.wait_until_ready_is(SERVING)


def test_lookups_are_ready_when_something_is_published(tmp_path):
    folder = tmp_path / "published"
    with running(tmp_path, "lookup", ZHENGMING_PUBLISHED=str(folder)) as process:
        process.address()
        assert process.says(READY) == NOT_SERVING

        state = PublishedState(folder)
        publish(state, 1)

        process.wait_until_ready_is(SERVING)
        state.close()

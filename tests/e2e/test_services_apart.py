"""Every service in a process of its own, begun and restarted in any order."""

import os
import signal
import subprocess
import sys
import threading
import time

import grpc
import pytest

from services.cli.session import Stubs
from services.common import rpc
from services.configuration import NAMES
from tests.clickhouse_server import ClickHouseServer, free_ports
from tests.e2e.conftest import ROOT
from tests.faults.test_handover import submit
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import reputation_pb2

DEADLINE_S = 240


class Apart:
    """One process a service, on ports chosen before."""

    def __init__(self, store, folder):
        self.ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
        self.addresses = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}
        self._environment = {
            **os.environ,
            "ZHENGMING_STORE": store,
            "ZHENGMING_MODELS": str(folder / "models"),
            "ZHENGMING_KEY_FILE": str(folder / "key"),
            "ZHENGMING_PUBLISHED": str(folder / "published"),
            "ZHENGMING_LEASE_S": "3",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}",
        }
        self.processes = {}

    def start(self, name):
        peers = {
            f"ZHENGMING_{peer.upper()}_ADDRESS": f"dns:///{address}"
            for peer, address in self.addresses.items()
            if peer != name
        }
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", "services", name],
            cwd=ROOT,
            env={**self._environment, **peers, "ZHENGMING_ADDRESS": self.addresses[name]},
            stdout=subprocess.DEVNULL,
        )

    def end(self, name, signum):
        self.processes[name].send_signal(signum)
        return self.processes[name].wait(60)


@pytest.fixture
def server():
    made = ClickHouseServer()
    yield made
    made.remove()


@pytest.fixture
def apart(server, tmp_path):
    running = Apart(server.url("apart"), tmp_path)
    yield running
    for name, process in running.processes.items():
        if process.poll() is None:
            running.end(name, signal.SIGTERM)


def reason_of(call):
    """The reason that a call is refused with, once the process answers."""
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while True:
        try:
            call()
        except grpc.RpcError as error:
            if told := rpc.to_domain_error(error):
                return told.reason
        assert time.monotonic() < until
        pause.wait(0.1)


class Called:
    """Stubs of one process, as `submit` takes them."""

    def __init__(self, address):
        self.channel = rpc.connect(address)
        self.stubs = Stubs.of(self.channel)


def counted(reputation, number, count):
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    request = reputation_pb2.GetReputationRequest(number=number)
    while True:
        try:
            if reputation.GetReputation(request, timeout=60).mark_count == count:
                return
        except grpc.RpcError as error:
            assert error.code() in rpc.NOT_BEGUN
        assert time.monotonic() < until
        pause.wait(0.2)


@pytest.mark.timeout(900)
def test_services_begin_before_their_store_and_peers_and_outlive_them(apart, server):
    ingest, reputation = Called(apart.addresses["ingest"]), Called(apart.addresses["reputation"])

    # Reputation is the first and the store the last.
    for name in reversed(NAMES):
        apart.start(name)
    listing = ingest_pb2.ListChangesRequest()
    assert reason_of(lambda: ingest.stubs.ingest.ListChanges(listing, timeout=20)) == "NOT_READY"
    server.start()
    submit(ingest, "13700138001", 3)
    counted(reputation.stubs.reputation, "13700138001", 3)

    # What the publisher needs goes away and comes back, one in order and one killed.
    assert apart.end("scoring", signal.SIGTERM) == 0
    apart.end("arbitration", signal.SIGKILL)
    submit(ingest, "13700138002", 4)
    apart.start("arbitration")
    apart.start("scoring")
    counted(reputation.stubs.reputation, "13700138002", 4)

    # So does the store.
    server.stop()
    server.start()
    submit(ingest, "13700138003", 5)
    counted(reputation.stubs.reputation, "13700138003", 5)
    assert all(process.poll() is None for process in apart.processes.values())
    ingest.channel.close()
    reputation.channel.close()

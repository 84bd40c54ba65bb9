"""The disk under the store, embedded or of a server, is full and becomes free again."""

import signal
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from services.cli.session import run_pipeline
from services.common import rpc
from services.common.store import open_store
from tests.clickhouse_server import ClickHouseServer
from tests.e2e.conftest import Services
from tests.faults.world import (
    CALL_S,
    FIRST,
    Sender,
    acknowledged,
    check_all,
    check_shown,
    check_store_apart,
    one_mark,
    until_true,
)
from zhengming.reputation.v1 import reputation_pb2

DISK_MIB = 256
FULL_S = 5.0


class Disk:
    """A small file system of its own, in memory; root may make one."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs"]
        subprocess.run(["mount", *options, str(path)], check=True)
        self.path, self._ballast = path, path / "ballast"

    def fill(self) -> None:
        """Leave no byte."""
        with self._ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """As before."""
        self._ballast.unlink()

    def remove(self) -> None:
        """Take it away, with all that is on it."""
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path):
    made = Disk(tmp_path / "disk")
    yield made
    made.remove()


@pytest.fixture(params=["chdb", "clickhouse"])
def url(request, disk):
    if request.param == "chdb":
        yield f"chdb:{disk.path / 'store'}"
        return
    (disk.path / "server").mkdir()
    server = ClickHouseServer(root=disk.path / "server").start()
    yield server.url("full")
    server.kill()


@pytest.mark.timeout(600)
def test_a_full_disk_refuses_marks_and_costs_nothing_once_it_is_free(url, disk, tmp_path):
    services = Services(url, tmp_path, ZHENGMING_LEASE_S="3")
    asked = reputation_pb2.GetReputationRequest(number=str(FIRST))
    request = one_mark("late")
    with Sender(4, lambda: services.stubs.ingest, lambda: services.stubs.disputes) as sender:
        until_true(
            lambda: services.stubs.reputation.GetReputation(asked, timeout=CALL_S).mark_count > 0
        )
        disk.fill()
        threading.Event().wait(FULL_S)

        seen = services.stubs.reputation.GetReputation(asked, timeout=CALL_S)
        with pytest.raises(grpc.RpcError) as refused:
            services.stubs.ingest.SubmitMarks(request, timeout=CALL_S)

        disk.free()
        sender.wait_for(50)

    assert seen.mark_count > 0
    told = rpc.to_domain_error(refused.value)
    assert told is not None, refused.value
    # The latter once the lease, too, could not be kept.
    assert told.reason in ("STORE_UNAVAILABLE", "NOT_READY")
    acknowledged(lambda: services.stubs.ingest.SubmitMarks(request, timeout=CALL_S))
    sender.marks.update(mark.number for mark in request.marks)
    run_pipeline(services.stubs, None, lambda step: None)
    check_shown(services.stubs.reputation, sender.marks)
    if not url.startswith("chdb:"):
        with closing(open_store(url)) as store:
            stubs = dict.fromkeys(("reputation", "arbitration"), services.stubs)
            check_all(store, sender, stubs, services.channel, tmp_path / "copy")
    assert services.end(signal.SIGTERM) == 0
    check_store_apart(url, sender.marks.total())

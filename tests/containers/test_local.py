"""Overlay `local` in a container: one pod, the embedded engine, an authority of its own."""

from pathlib import Path

import pytest

from tests.containers.play import Play, podman
from tests.containers.test_small import marks, secured, seen, submit
from zhengming.ingest.v1 import ingest_pb2

POD = "zhengming-0"


@pytest.fixture
def local(tmp_path):
    with Play("local", tmp_path, {}, {}) as play:
        play.start("zhengming")
        play.wait_ready(POD)
        yield play


def identity(folder: Path) -> Path:
    """The vendor's certificate, copied out of the pod as docs/kubernetes.md says."""
    (folder / "pki").mkdir()
    podman("cp", f"{POD}-service:/data/pki/app-one", str(folder / "pki"))
    return folder / "pki"


def test_marks_become_reputations_and_outlive_the_pod(local, policy, tmp_path):
    number = "13800138002"
    pki = identity(tmp_path)
    with secured(local, pki, POD, "zhengming", 50051, policy) as channel:
        assert submit(channel, marks(number, 8)) == [ingest_pb2.ITEM_OUTCOME_COMMITTED] * 8
        assert seen(channel, number, 8).category.startswith("A32")

        local.kill(f"{POD}-service")

        assert submit(channel, marks(number, 4)) == [ingest_pb2.ITEM_OUTCOME_COMMITTED] * 4
        assert seen(channel, number, 12).mark_count == 12

    local.remove(POD, patience_s=90)
    local.make("zhengming", POD)
    local.wait_ready(POD)
    with secured(local, pki, POD, "zhengming", 50051, policy) as channel:
        assert seen(channel, number, 12).mark_count == 12

"""Overlay `small` in containers: marks in, reputations out, pods killed, a version rolled out."""

import threading
import time
import uuid

import grpc
import pytest

from services.common.health import LIVE
from tests.containers.conftest import IMAGE, PREVIOUS, SERVICES, Caller
from tests.containers.play import SERVING, Play, podman
from zhengming.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from zhengming.reputation.v1 import reputation_pb2, reputation_pb2_grpc

DEADLINE_S = 120


def secured(play: Play, pki, pod: str, service: str, port: int, policy: str) -> grpc.Channel:
    """A channel of the vendor's to one pod, by the name that a cluster would have called it."""
    own = pki / "app-one"
    ca, key, certificate = ((own / n).read_bytes() for n in ("ca.crt", "tls.key", "tls.crt"))
    return grpc.secure_channel(
        play.address(pod, port),
        grpc.ssl_channel_credentials(ca, key, certificate),
        options=[
            ("grpc.ssl_target_name_override", f"{service}.zhengming.svc"),
            ("grpc.service_config", policy),
        ],
    )


def marks(number: str, count: int) -> list[ingest_pb2.Mark]:
    made = []
    for _ in range(count):
        mark_id, reporter = uuid.uuid4().hex, uuid.uuid4().hex[:8]
        item = ingest_pb2.Mark(mark_id=mark_id, number=number, label="房产中介", reporter=reporter)
        item.occurred_time.FromMilliseconds(time.time_ns() // 1_000_000 - 60_000)
        made.append(item)
    return made


def submit(channel, sent):
    request = ingest_pb2.SubmitMarksRequest(source="app-one", marks=sent)
    answer = ingest_pb2_grpc.IngestServiceStub(channel).SubmitMarks(request, timeout=DEADLINE_S)
    return [result.outcome for result in answer.results]


def seen(channel, number: str, count: int):
    """The reputation, as soon as so many marks count in it."""
    stub = reputation_pb2_grpc.ReputationServiceStub(channel)
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while True:
        request = reputation_pb2.GetReputationRequest(number=number)
        found = stub.GetReputation(request, timeout=DEADLINE_S)
        if found.mark_count >= count:
            return found
        assert time.monotonic() < until, f"never published: {found}"
        pause.wait(0.1)


def duplicates(channel, mark_ids: list[str]) -> int:
    """How many marks the services know already: the same id again is a duplicate."""
    known = 0
    for start in range(0, len(mark_ids), 500):
        again = marks("13800138000", len(mark_ids[start : start + 500]))
        for item, mark_id in zip(again, mark_ids[start : start + 500], strict=True):
            item.mark_id = mark_id
        known += submit(channel, again).count(ingest_pb2.ITEM_OUTCOME_DUPLICATE)
    return known


def test_marks_become_reputations_and_outlive_killed_pods(small, pki, policy, tmp_path):
    number = "13800138001"
    with (
        secured(small, pki, "ingest-0", "ingest", 50051, policy) as ingest,
        secured(small, pki, "reputation-0", "reputation", 50051, policy) as reputation,
        secured(small, pki, "reputation-0", "lookup", 50061, policy) as lookup,
    ):
        assert submit(ingest, marks(number, 8)) == [ingest_pb2.ITEM_OUTCOME_COMMITTED] * 8
        assert seen(reputation, number, 8).category.startswith("A32")
        assert seen(lookup, number, 8).category.startswith("A32")

        assert "number_count" in small.run_job("pipeline")

        for service in SERVICES:
            for pod in small.names(service):
                small.kill(f"{pod}-service")
        small.kill("clickhouse-0-clickhouse")

        assert submit(ingest, marks(number, 4)) == [ingest_pb2.ITEM_OUTCOME_COMMITTED] * 4
        assert seen(reputation, number, 12).mark_count == 12
        assert seen(lookup, number, 12).mark_count == 12
    for service in SERVICES:
        for pod in small.names(service):
            small.wait_ready(pod)
            assert small.health(pod, service=LIVE) == SERVING


@pytest.mark.parametrize("small", [PREVIOUS], indirect=True)
def test_a_new_version_is_rolled_out_without_a_failed_call(small, pki, policy, tmp_path):
    folder = tmp_path / "client"
    folder.mkdir()
    caller = Caller(small, pki, policy, folder)
    try:
        small.images[IMAGE] = IMAGE
        for service in SERVICES:
            for pod in reversed(small.names(service)):
                before = podman("inspect", f"{pod}-service", "--format", "{{.Image}}")
                small.remove(pod, patience_s=90)
                small.make(service, pod)
                small.wait_ready(pod)
                after = podman("inspect", f"{pod}-service", "--format", "{{.Image}}")
                assert after != before
        told = caller.end()
    finally:
        caller.remove()

    assert told["failed"] == []
    assert told["calls"] > 100
    with secured(small, pki, "ingest-0", "ingest", 50051, policy) as ingest:
        assert duplicates(ingest, told["acknowledged"]) == len(told["acknowledged"])

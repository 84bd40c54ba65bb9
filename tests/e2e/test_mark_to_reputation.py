"""A mark goes in over gRPC and a reputation comes out, on both engines."""

import signal
import threading
import time
import uuid

import grpc
import pytest

from services.common import rpc
from tests.answers import lookup, lookup_when
from zhengming.features.v1 import features_pb2
from zhengming.ingest.v1 import ingest_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2

DEADLINE_S = 60


def mark(mark_id: str, number: str, label: str, reporter: str) -> pb.Mark:
    made = pb.Mark(mark_id=mark_id, number=number, label=label, reporter=reporter)
    made.occurred_time.FromMilliseconds(time.time_ns() // 1_000_000 - 60_000)
    return made


def submit(services, source, marks):
    request = pb.SubmitMarksRequest(source=source, marks=marks)
    return services.stubs.ingest.SubmitMarks(request, timeout=DEADLINE_S).results


def test_a_mark_becomes_visible_without_any_command(services):
    marks = [mark(uuid.uuid4().hex, "138 0013 8001", "房产中介", f"r{i}") for i in range(8)]
    before = lookup(services, "+8613800138001")

    outcomes = [result.outcome for result in submit(services, "app-one", marks)]

    assert before.state == reputation_pb2.REPUTATION_STATE_UNKNOWN
    assert outcomes == [pb.ITEM_OUTCOME_COMMITTED] * 8
    found = lookup_when(services, "13800138001", lambda r: r.mark_count == 8)
    assert found.category.startswith("A32")
    assert found.rule
    assert found.model_version


def test_a_batch_is_answered_mark_by_mark(services):
    good = mark(uuid.uuid4().hex, "13800138002", "快递", "r")
    bad = mark(uuid.uuid4().hex, "12", "快递", "r")

    results = submit(services, "app-one", [good, bad, good])

    assert [r.outcome for r in results] == [
        pb.ITEM_OUTCOME_COMMITTED,
        pb.ITEM_OUTCOME_REJECTED,
        pb.ITEM_OUTCOME_DUPLICATE,
    ]
    error = rpc.from_status_proto(results[1].error)
    assert error is not None
    assert (error.reason, error.metadata["field"]) == ("NUMBER_INVALID", "number")


def test_an_empty_batch_is_refused_with_its_reason(services):
    with pytest.raises(grpc.RpcError) as caught:
        submit(services, "app-one", [])

    error = rpc.to_domain_error(caught.value)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error is not None
    assert error.reason == "BATCH_SIZE_INVALID"


def test_marks_of_a_former_holder_do_not_count(services):
    number = "13800138003"
    submit(services, "app-one", [mark(uuid.uuid4().hex, number, "诈骗", f"r{i}") for i in range(7)])
    lookup_when(services, number, lambda r: r.mark_count == 7)
    event = pb.LifecycleEvent(number=number, kind=pb.LIFECYCLE_KIND_ASSIGNED)
    event.occurred_time.FromMilliseconds(time.time_ns() // 1_000_000)

    services.stubs.ingest.SubmitLifecycle(pb.SubmitLifecycleRequest(events=[event]))

    found = lookup_when(services, number, lambda r: r.mark_count == 0)
    assert found.level == 0
    assert found.category == ""


def marks_counted(services, number_key):
    request = features_pb2.BatchGetFeaturesRequest(number_keys=[number_key])
    row = services.stubs.features.BatchGetFeatures(request, timeout=DEADLINE_S)
    return dict(zip(row.names, row.values, strict=True))["marks_count"]


def test_acknowledged_marks_outlive_a_kill_and_stand_once(services):
    number, key = "13800138004", (1 << 60) + 8613800138004
    sent: list[pb.Mark] = []
    acknowledged: list[str] = []
    enough = threading.Event()

    def send() -> None:
        try:
            for i in range(10_000):
                batch = [
                    mark(f"{uuid.uuid4().hex}-{i}", number, "广告推销", f"r{i}-{j}")
                    for j in range(5)
                ]
                sent.extend(batch)
                submit(services, "app-kill", batch)
                acknowledged.extend(m.mark_id for m in batch)
                if len(acknowledged) >= 50:
                    enough.set()
        except (grpc.RpcError, ValueError):
            return  # the server is gone

    sender = threading.Thread(target=send)
    sender.start()
    assert enough.wait(DEADLINE_S)

    services.process.send_signal(signal.SIGKILL)
    services.process.wait(DEADLINE_S)
    sender.join()
    services.end(signal.SIGKILL)
    services.start()

    again = submit(services, "app-kill", [m for m in sent if m.mark_id in set(acknowledged)])
    assert {r.outcome for r in again} == {pb.ITEM_OUTCOME_DUPLICATE}
    submit(services, "app-kill", sent)
    assert marks_counted(services, key) == len(sent)


def test_sigterm_ends_the_process_in_order(services):
    submit(services, "app-one", [mark(uuid.uuid4().hex, "13800138005", "快递", "r")])

    assert services.end(signal.SIGTERM) == 0

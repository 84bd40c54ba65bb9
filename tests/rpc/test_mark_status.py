"""GetMarkStatus: every mark's sender can ask what became of it."""

import threading
import time
import uuid

import grpc
import pytest

from services.common import rpc
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.ingest.v1 import ingest_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2

DEADLINE_S = 60


def submit(services, number, label="贷款", reporter="", age_ms=60_000, mark_id="", withdrawn=False):
    mark = pb.Mark(
        mark_id=mark_id or uuid.uuid4().hex,
        number=number,
        label=label,
        reporter=reporter,
        withdrawn=withdrawn,
    )
    mark.occurred_time.FromMilliseconds(services.clock.now_ms - age_ms)
    answer = services.stubs.ingest.SubmitMarks(pb.SubmitMarksRequest(source="app", marks=[mark]))
    assert answer.results[0].outcome == pb.ITEM_OUTCOME_COMMITTED
    return mark.mark_id


def status(services, *mark_ids, source="app"):
    request = pb.GetMarkStatusRequest(source=source, mark_ids=mark_ids)
    return list(services.stubs.ingest.GetMarkStatus(request).statuses)


def status_when(services, mark_id, outcome):
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while time.monotonic() < until:
        (found,) = status(services, mark_id)
        if found.outcome == outcome:
            return found
        pause.wait(0.02)
    raise AssertionError(f"never came to that: {found}")


def decide(services, number, category):
    decision = arbitration_pb2.Decision(number=number, category=category)
    decision.decided_time.FromMilliseconds(services.clock.now_ms)
    services.stubs.arbitration.SubmitDecisions(
        arbitration_pb2.SubmitDecisionsRequest(decisions=[decision])
    )


def test_a_mark_that_counts_is_told_with_what_is_published(services, number):
    mark_ids = [submit(services, number, reporter=f"r{i}") for i in range(7)]

    found = status_when(services, mark_ids[-1], pb.MARK_OUTCOME_SAME_CLASS)

    assert found.standing == pb.MARK_STANDING_COUNTED
    assert found.number == number
    assert found.published_version > 0
    assert found.reply_zh.startswith("您的标记已计入")
    assert found.reply_en.startswith("Your mark counts")


def test_marks_are_answered_in_the_order_asked_and_unknown_ones_in_their_place(services, number):
    mark_id = submit(services, number)

    found = status(services, "no such mark", mark_id)

    assert [s.mark_id for s in found] == ["no such mark", mark_id]
    assert found[0].standing == pb.MARK_STANDING_NOT_FOUND
    assert found[1].standing == pb.MARK_STANDING_COUNTED


def test_a_source_asks_for_its_own_marks_only(services, number):
    mark_id = submit(services, number)

    (found,) = status(services, mark_id, source="another")

    assert found.standing == pb.MARK_STANDING_NOT_FOUND


def test_a_later_mark_of_the_same_reporter_supersedes(services, number):
    first = submit(services, number, reporter="r", age_ms=120_000)
    second = submit(services, number, "快递", reporter="r")

    assert [s.standing for s in status(services, first, second)] == [
        pb.MARK_STANDING_SUPERSEDED,
        pb.MARK_STANDING_COUNTED,
    ]


def test_a_withdrawn_mark_is_told(services, number):
    mark_id = submit(services, number)
    submit(services, number, mark_id=mark_id, withdrawn=True)

    (found,) = status(services, mark_id)

    assert found.standing == pb.MARK_STANDING_WITHDRAWN


def test_a_mark_about_a_former_holder_is_told(services, number):
    mark_id = submit(services, number)
    event = pb.LifecycleEvent(number=number, kind=pb.LIFECYCLE_KIND_ASSIGNED)
    event.occurred_time.FromMilliseconds(services.clock.now_ms)
    services.stubs.ingest.SubmitLifecycle(pb.SubmitLifecycleRequest(events=[event]))

    (found,) = status(services, mark_id)

    assert found.standing == pb.MARK_STANDING_FORMER_HOLDER


def test_a_mark_of_a_relay_number_is_in_quarantine(services):
    mark_id = submit(services, "700123456789012")

    (found,) = status(services, mark_id)

    assert found.standing == pb.MARK_STANDING_QUARANTINED


@pytest.mark.parametrize(
    ("category", "outcome"),
    [
        ("A3100", pb.MARK_OUTCOME_CONFIRMED),
        ("CLEARED", pb.MARK_OUTCOME_OVERTURNED),
        ("A1100", pb.MARK_OUTCOME_OVERTURNED),
    ],
)
def test_what_was_decided_is_told(services, number, category, outcome):
    mark_id = submit(services, number)

    decide(services, number, category)

    assert status_when(services, mark_id, outcome).standing == pb.MARK_STANDING_COUNTED


def test_an_empty_question_is_refused(services):
    with pytest.raises(grpc.RpcError) as caught:
        status(services)

    assert rpc.to_domain_error(caught.value).reason == "BATCH_SIZE_INVALID"


def test_touched_numbers_are_published_anew(services, number):
    submit(services, number)
    request = reputation_pb2.GetReputationRequest(number=number)
    before = services.stubs.ingest.ListChanges(pb.ListChangesRequest(tail=True)).next_cursor
    key = (1 << 60) + int(number[1:])

    services.stubs.ingest.TouchNumbers(pb.TouchNumbersRequest(number_keys=[key]))

    changes = services.stubs.ingest.ListChanges(pb.ListChangesRequest(cursor=before))
    assert list(changes.number_keys) == [key]
    assert services.stubs.reputation.GetReputation(request).number == number

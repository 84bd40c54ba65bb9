"""A dispute over gRPC to a published clearing, on both engines, through a kill."""

import re
import signal
import time
import uuid

import pytest

from tests.answers import lookup_when
from zhengming.arbitration.v1 import dispute_pb2 as pb
from zhengming.ingest.v1 import ingest_pb2

DEADLINE_S = 60
DAY_MS = 86_400_000


def now_ms():
    return time.time_ns() // 1_000_000


def marked(services, number, label, count=7):
    marks = []
    for i in range(count):
        mark = ingest_pb2.Mark(
            mark_id=uuid.uuid4().hex, number=number, label=label, reporter=f"r{i}"
        )
        mark.occurred_time.FromMilliseconds(now_ms() - 2 * DAY_MS)
        marks.append(mark)
    services.stubs.ingest.SubmitMarks(
        ingest_pb2.SubmitMarksRequest(source="app-one", marks=marks), timeout=DEADLINE_S
    )
    return [mark.mark_id for mark in marks]


def filed(services, number):
    return services.stubs.disputes.FileDispute(
        pb.FileDisputeRequest(
            number=number,
            request_id=uuid.uuid4().hex,
            applicant_kind=pb.APPLICANT_KIND_PERSON,
            ground=pb.DISPUTE_GROUND_REASSIGNED,
            statement="新办号码",
        ),
        timeout=DEADLINE_S,
    )


def proven(services, case):
    services.stubs.disputes.SendOwnershipCode(
        pb.SendOwnershipCodeRequest(case_number=case.case_number), timeout=DEADLINE_S
    )
    box = services.stubs.disputes.ListOutboxMessages(
        pb.ListOutboxMessagesRequest(reader="operator"), timeout=DEADLINE_S
    )
    text = next(m.text for m in box.messages if case.dispute.dispute_id in m.text)
    return services.stubs.disputes.ProveOwnership(
        pb.ProveOwnershipRequest(
            case_number=case.case_number, code=re.search(r"：(\d{6})，", text)[1]
        ),
        timeout=DEADLINE_S,
    )


def test_a_recycled_number_is_cleared_and_every_mark_can_be_followed(services):
    number = "+8613800139001"
    mark_ids = marked(services, number, "骚扰电话")
    lookup_when(services, number, lambda r: r.mark_count == 7)
    event = ingest_pb2.LifecycleEvent(number=number, kind=ingest_pb2.LIFECYCLE_KIND_ASSIGNED)
    event.occurred_time.FromMilliseconds(now_ms() - DAY_MS)
    services.stubs.ingest.SubmitLifecycle(ingest_pb2.SubmitLifecycleRequest(events=[event]))

    dispute = proven(services, filed(services, number))

    assert dispute.outcome == pb.DISPUTE_OUTCOME_CLEARED
    lookup_when(services, number, lambda r: r.rule == "decided_clear@1")
    statuses = services.stubs.ingest.GetMarkStatus(
        ingest_pb2.GetMarkStatusRequest(source="app-one", mark_ids=mark_ids), timeout=DEADLINE_S
    ).statuses
    assert {s.standing for s in statuses} == {ingest_pb2.MARK_STANDING_FORMER_HOLDER}
    assert {s.outcome for s in statuses} == {ingest_pb2.MARK_OUTCOME_OVERTURNED}


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_no_step_is_lost_when_the_process_ends(services, signum):
    number = f"+861380014{signum:04d}"
    marked(services, number, "贷款")
    lookup_when(services, number, lambda r: r.category == "A3101")
    case = filed(services, number)
    dispute = proven(services, case)

    services.end(signum)
    services.start()

    again = services.stubs.disputes.GetDispute(
        pb.GetDisputeRequest(case_number=case.case_number), timeout=DEADLINE_S
    )
    proof = services.stubs.disputes.VerifyAudit(pb.VerifyAuditRequest(), timeout=DEADLINE_S)
    assert again.state == dispute.state == pb.DISPUTE_STATE_WITH_SOURCES
    assert proof.intact
    lookup_when(services, number, lambda r: r.rule == "disputed@1")

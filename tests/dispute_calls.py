"""What a test does with disputes: mark, file, prove, answer, decide, over a real channel."""

import re
import uuid

from tests.answers import lookup_when
from zhengming.arbitration.v1 import dispute_pb2 as pb
from zhengming.ingest.v1 import ingest_pb2

DAY_MS = 86_400_000
_digits = iter(range(13900000000, 13999999999))


def new_number():
    """A number that no test had before."""
    return f"+86{next(_digits)}"


def marked(services, number, label="贷款", source="app-one", count=8, age_ms=3_600_000):
    marks = [
        ingest_pb2.Mark(mark_id=uuid.uuid4().hex, number=number, label=label, reporter=f"r{i}")
        for i in range(count)
    ]
    for mark in marks:
        mark.occurred_time.FromMilliseconds(services.clock.now_ms - age_ms)
    request = ingest_pb2.SubmitMarksRequest(source=source, marks=marks)
    services.stubs.ingest.SubmitMarks(request)
    lookup_when(services, number, lambda r: r.version > 0)
    return [mark.mark_id for mark in marks]


def reassigned(services, number):
    event = ingest_pb2.LifecycleEvent(number=number, kind=ingest_pb2.LIFECYCLE_KIND_ASSIGNED)
    event.occurred_time.FromMilliseconds(services.clock.now_ms - 60_000)
    services.stubs.ingest.SubmitLifecycle(ingest_pb2.SubmitLifecycleRequest(events=[event]))


def filing(number, **changes):
    fields = {
        "number": number,
        "request_id": uuid.uuid4().hex,
        "applicant_kind": pb.APPLICANT_KIND_PERSON,
        "ground": pb.DISPUTE_GROUND_OTHER,
        "statement": "这不是我",
    }
    return pb.FileDisputeRequest(**{**fields, **changes})


def filed(services, number, **changes):
    return services.stubs.disputes.FileDispute(filing(number, **changes))


def code_of(services, case_number):
    services.stubs.disputes.SendOwnershipCode(pb.SendOwnershipCodeRequest(case_number=case_number))
    box = services.stubs.disputes.ListOutboxMessages(
        pb.ListOutboxMessagesRequest(reader="operator")
    )
    mine = [m for m in box.messages if case_number.split("-")[0] in m.text]
    return re.search(r"：(\d{6})，", mine[0].text)[1]


def proven(services, number, **changes):
    case = filed(services, number, **changes)
    code = code_of(services, case.case_number)
    dispute = services.stubs.disputes.ProveOwnership(
        pb.ProveOwnershipRequest(case_number=case.case_number, code=code)
    )
    return case.case_number, dispute


def in_review(services, number, **changes):
    case_number, dispute = proven(services, number, **changes)
    for source in dispute.pending_sources:
        dispute = services.stubs.disputes.AnswerAsSource(
            pb.AnswerAsSourceRequest(
                dispute_id=dispute.dispute_id,
                source=source,
                stance=pb.SOURCE_STANCE_MAINTAINED,
                text="用户举报属实",
            )
        )
    return case_number, dispute


def opinion(outcome=pb.DISPUTE_OUTCOME_CLEARED, category="", reason=None):
    return pb.Opinion(
        outcome=outcome,
        category=category,
        reason=reason or pb.DECISION_REASON_MARKS_UNFOUNDED,
        text="经核查",
    )


def decide(services, dispute, reviewer, view):
    return services.stubs.disputes.DecideDispute(
        pb.DecideDisputeRequest(dispute_id=dispute.dispute_id, reviewer=reviewer, decision=view)
    )


def opine(services, dispute, reviewer, view):
    return services.stubs.disputes.SubmitOpinion(
        pb.SubmitOpinionRequest(dispute_id=dispute.dispute_id, reviewer=reviewer, opinion=view)
    )

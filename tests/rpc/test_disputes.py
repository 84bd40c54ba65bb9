"""DisputeService over a real channel: per method an answer, a failure, a boundary."""

import json
import re
import threading
import time
import uuid

import grpc
import pytest

from services.common import rpc
from tests.services_in_process import in_process
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.arbitration.v1 import dispute_pb2 as pb
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import reputation_pb2

DAY_MS = 86_400_000
DEADLINE_S = 60
_digits = iter(range(13900000000, 13999999999))


@pytest.fixture(scope="module")
def services(chdb_engine, chdb_path, tmp_path_factory):
    with in_process(chdb_path, tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture
def number():
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


def lookup_when(services, number, condition):
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while time.monotonic() < until:
        request = reputation_pb2.GetReputationRequest(number=number)
        found = services.stubs.reputation.GetReputation(request)
        if condition(found):
            return found
        pause.wait(0.02)
    raise AssertionError(f"never published as expected: {found}")


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


def failure(call, *arguments, **named):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **named)
    error = rpc.to_domain_error(caught.value)
    assert error is not None, caught.value
    return error.reason


def test_a_filing_is_acknowledged_with_a_case_number_and_the_papers_needed(services, number):
    answer = filed(services, number)

    assert answer.dispute.state == pb.DISPUTE_STATE_ACKNOWLEDGED
    assert answer.dispute.number == number
    assert re.fullmatch(r"ZM[2-9A-Z]{10}-[2-9A-Z]{8}", answer.case_number)
    assert list(answer.dispute.required_evidence) == [pb.EVIDENCE_KIND_SCREENSHOT]


def test_the_same_filing_again_returns_the_first_answer(services, number):
    request = filing(number)

    first = services.stubs.disputes.FileDispute(request)
    again = services.stubs.disputes.FileDispute(request)

    assert again == first


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"number": "12"}, "NUMBER_INVALID"),
        ({"statement": " "}, "FIELD_REQUIRED"),
        ({"statement": "x" * 2001}, "FIELD_TOO_LONG"),
        ({"ground": 0}, "FIELD_REQUIRED"),
        ({"ground": 99}, "FIELD_OUT_OF_RANGE"),
        ({"request_id": ""}, "FIELD_REQUIRED"),
        ({"applicant_kind": pb.APPLICANT_KIND_ENTERPRISE}, "FIELD_REQUIRED"),
    ],
)
def test_a_filing_that_lacks_something_is_refused_with_its_reason(
    services, number, changes, reason
):
    request = filing(**{"number": number, **changes})

    assert failure(services.stubs.disputes.FileDispute, request) == reason


def test_a_second_dispute_in_flight_is_refused(services, number):
    filed(services, number)

    assert failure(services.stubs.disputes.FileDispute, filing(number)) == "DISPUTE_IN_FLIGHT"


def test_a_filing_nobody_proved_gives_way_after_a_day(services, number):
    old = filed(services, number)
    services.clock.now_ms += DAY_MS

    new = filed(services, number)

    stale = services.stubs.disputes.GetDispute(pb.GetDisputeRequest(case_number=old.case_number))
    assert stale.state == pb.DISPUTE_STATE_WITHDRAWN
    assert new.dispute.state == pb.DISPUTE_STATE_ACKNOWLEDGED


def test_a_batch_is_answered_number_by_number(services, number):
    same = filing(number)
    batch = [same, filing("12"), same, filing(number)]

    results = services.stubs.disputes.BatchFileDisputes(
        pb.BatchFileDisputesRequest(disputes=batch)
    ).results

    errors = [rpc.from_status_proto(r.error) for r in results]
    assert results[0].filed == results[2].filed
    assert results[0].filed.case_number
    assert [e.reason for e in errors if e] == ["NUMBER_INVALID", "DISPUTE_IN_FLIGHT"]


def test_two_thousand_numbers_are_filed_at_once_and_no_more(services):
    batch = [filing(f"+86{next(_digits)}") for _ in range(2000)]

    results = services.stubs.disputes.BatchFileDisputes(
        pb.BatchFileDisputesRequest(disputes=batch)
    ).results

    assert sum(bool(r.filed.case_number) for r in results) == 2000
    request = pb.BatchFileDisputesRequest(disputes=[*batch, filing("+8613800138000")])
    assert failure(services.stubs.disputes.BatchFileDisputes, request) == "BATCH_SIZE_INVALID"


def test_a_recycled_number_is_cleared_as_soon_as_ownership_is_proven(services, number):
    marked(services, number)
    reassigned(services, number)

    case_number, dispute = proven(services, number, ground=pb.DISPUTE_GROUND_REASSIGNED)

    assert dispute.outcome == pb.DISPUTE_OUTCOME_CLEARED
    assert dispute.decision_reason == pb.DECISION_REASON_REASSIGNED
    assert dispute.reply_text
    found = lookup_when(services, number, lambda r: r.rule.startswith("decided_clear"))
    assert found.state == reputation_pb2.REPUTATION_STATE_ADJUDICATED
    assert found.level == 0


def test_a_wrong_code_is_refused_and_counted(services, number):
    case = filed(services, number)
    code = code_of(services, case.case_number)
    wrong = "000000" if code != "000000" else "111111"

    for _ in range(5):
        request = pb.ProveOwnershipRequest(case_number=case.case_number, code=wrong)
        assert failure(services.stubs.disputes.ProveOwnership, request) == "OWNERSHIP_CODE_WRONG"

    right = pb.ProveOwnershipRequest(case_number=case.case_number, code=code)
    assert failure(services.stubs.disputes.ProveOwnership, right) == "OWNERSHIP_CODE_WRONG"


def test_three_codes_a_day_are_sent(services, number):
    case = filed(services, number)
    for _ in range(3):
        code_of(services, case.case_number)

    request = pb.SendOwnershipCodeRequest(case_number=case.case_number)
    assert failure(services.stubs.disputes.SendOwnershipCode, request) == "OWNERSHIP_CODE_LIMIT"


@pytest.mark.parametrize("case_number", ["", "ZM2345678923-ABCDEFGH", "ZM2345678923", "无"])
def test_a_case_number_that_was_not_given_opens_nothing(services, case_number):
    request = pb.SendOwnershipCodeRequest(case_number=case_number)

    assert failure(services.stubs.disputes.SendOwnershipCode, request) == "DISPUTE_NOT_FOUND"


def test_a_case_number_may_be_typed_in_small_letters(services, number):
    case = filed(services, number)

    found = services.stubs.disputes.GetDispute(
        pb.GetDisputeRequest(case_number=f" {case.case_number.lower()} ")
    )

    assert found.dispute_id == case.dispute.dispute_id


def test_papers_prove_a_fixed_line_and_its_case_goes_on(services):
    number = "+861062300000"
    marked(services, number)
    case = filed(services, number, applicant_kind=pb.APPLICANT_KIND_ENTERPRISE,
                 applicant_name="某公司")  # fmt: skip
    services.stubs.disputes.AddEvidence(
        pb.AddEvidenceRequest(
            case_number=case.case_number,
            kind=pb.EVIDENCE_KIND_NUMBER_USE_CERTIFICATE,
            text="号码使用证明",
            content=b"%PDF-1.4 test",
            media_type="application/pdf",
        )
    )

    dispute = services.stubs.disputes.ConfirmOwnership(
        pb.ConfirmOwnershipRequest(
            dispute_id=case.dispute.dispute_id, reviewer="ann", text="证明有效"
        )
    )

    assert dispute.ownership == pb.OWNERSHIP_PROOF_PAPERS
    assert list(dispute.pending_sources) == ["app-one"]
    paper = services.stubs.disputes.GetEvidence(
        pb.GetEvidenceRequest(dispute_id=dispute.dispute_id, evidence_id="1", reader="ann")
    )
    assert paper.content == b"%PDF-1.4 test"
    assert pb.EVIDENCE_KIND_LEGAL_REPRESENTATIVE in dispute.required_evidence


def test_a_paper_of_another_type_is_refused(services, number):
    case = filed(services, number)
    request = pb.AddEvidenceRequest(
        case_number=case.case_number,
        kind=pb.EVIDENCE_KIND_SCREENSHOT,
        content=b"<svg onload=alert(1)>",
        media_type="image/png",
    )

    assert failure(services.stubs.disputes.AddEvidence, request) == "FIELD_OUT_OF_RANGE"


def test_a_paper_that_is_not_there_is_not_found(services, number):
    case = filed(services, number)
    request = pb.GetEvidenceRequest(
        dispute_id=case.dispute.dispute_id, evidence_id="1", reader="ann"
    )

    assert failure(services.stubs.disputes.GetEvidence, request) == "EVIDENCE_NOT_FOUND"


def test_twenty_papers_are_taken(services, number):
    case = filed(services, number)
    request = pb.AddEvidenceRequest(
        case_number=case.case_number, kind=pb.EVIDENCE_KIND_OTHER, text="说明"
    )
    for _ in range(20):
        services.stubs.disputes.AddEvidence(request)

    assert failure(services.stubs.disputes.AddEvidence, request) == "EVIDENCE_LIMIT"


def test_a_marketing_label_is_withheld_while_its_dispute_is_open(services, number):
    marked(services, number)
    before = lookup_when(services, number, lambda r: r.mark_count == 8)

    proven(services, number)

    found = lookup_when(
        services, number, lambda r: r.state == reputation_pb2.REPUTATION_STATE_DISPUTED
    )
    assert before.category == "A3101"
    assert (found.category, found.level, found.rule) == ("", 0, "disputed@1")


def test_a_filing_without_proof_withholds_nothing(services, number):
    marked(services, number)
    case = filed(services, number)

    assert case.dispute.contested_category == "A3101"
    found = lookup_when(services, number, lambda r: r.mark_count == 8)
    assert found.state != reputation_pb2.REPUTATION_STATE_DISPUTED


def test_a_fraud_label_stays_and_is_shown_as_contested(services, number):
    marked(services, number, "诈骗")

    _, dispute = proven(services, number)

    found = lookup_when(
        services, number, lambda r: r.state == reputation_pb2.REPUTATION_STATE_DISPUTED
    )
    assert dispute.double_review
    assert found.category.startswith("A1")
    assert found.level >= 3
    assert "有异议" in found.display_text_zh


def test_a_source_answers_once_and_the_last_answer_opens_the_review(services, number):
    marked(services, number)
    marked(services, number, "推销", "app-two")
    _, dispute = proven(services, number)
    request = pb.AnswerAsSourceRequest(
        dispute_id=dispute.dispute_id, source="app-one", stance=pb.SOURCE_STANCE_CONCEDED
    )

    one = services.stubs.disputes.AnswerAsSource(request)
    again = failure(services.stubs.disputes.AnswerAsSource, request)
    request.source = "app-two"
    both = services.stubs.disputes.AnswerAsSource(request)

    assert (one.state, list(one.pending_sources)) == (pb.DISPUTE_STATE_WITH_SOURCES, ["app-two"])
    assert again == "SOURCE_NOT_ASKED"
    assert both.state == pb.DISPUTE_STATE_IN_REVIEW


def test_a_decision_is_published_and_outlives_more_marks(services, number):
    marked(services, number)
    _, dispute = in_review(services, number)

    decided = decide(services, dispute, "ann", opinion())

    lookup_when(services, number, lambda r: r.rule == "decided_clear@1")
    marked(services, number, "骚扰", "app-three", 20)
    again = lookup_when(services, number, lambda r: r.mark_count >= 20)
    assert decided.state == pb.DISPUTE_STATE_DECIDED
    assert (again.rule, again.level) == ("decided_clear@1", 0)


def test_relabelling_publishes_the_other_category(services, number):
    marked(services, number)
    _, dispute = in_review(services, number)

    decide(services, dispute, "ann", opinion(pb.DISPUTE_OUTCOME_RELABELLED, "A4100"))

    found = lookup_when(services, number, lambda r: r.rule == "decided@1")
    assert found.category == "A4100"


def test_a_decision_from_a_wrong_state_is_refused(services, number):
    case = filed(services, number)
    request = pb.DecideDisputeRequest(
        dispute_id=case.dispute.dispute_id, reviewer="ann", decision=opinion()
    )

    assert failure(services.stubs.disputes.DecideDispute, request) == "DISPUTE_STATE_INVALID"


def test_an_opinion_without_a_category_to_relabel_to_is_refused(services, number):
    marked(services, number)
    _, dispute = in_review(services, number)

    with pytest.raises(grpc.RpcError) as caught:
        decide(services, dispute, "ann", opinion(pb.DISPUTE_OUTCOME_RELABELLED))

    assert rpc.to_domain_error(caught.value).metadata["field"] == "category"


def test_fraud_takes_two_blind_opinions_and_a_third_where_they_differ(services, number):
    marked(services, number, "诈骗")
    _, dispute = in_review(services, number)
    founded = opinion(pb.DISPUTE_OUTCOME_UPHELD, reason=pb.DECISION_REASON_MARKS_FOUNDED)

    with pytest.raises(grpc.RpcError) as alone:
        decide(services, dispute, "ann", founded)
    opine(services, dispute, "ann", founded)
    seen = {name: opinions_seen(services, dispute, name) for name in ("ann", "bo")}
    opine(services, dispute, "bo", opinion())
    third = opinions_seen(services, dispute, "cy")
    decided = opine(services, dispute, "cy", founded)

    assert rpc.to_domain_error(alone.value).reason == "SECOND_REVIEW_REQUIRED"
    assert seen == {"ann": ["经核查"], "bo": [""]}
    assert third == ["经核查", "经核查"]
    assert decided.outcome == pb.DISPUTE_OUTCOME_UPHELD
    found = lookup_when(services, number, lambda r: r.rule == "decided@1")
    assert found.level == 4


def opinions_seen(services, dispute, reader):
    events = services.stubs.disputes.ListDisputeEvents(
        pb.ListDisputeEventsRequest(dispute_id=dispute.dispute_id, reader=reader)
    ).events
    return [e.text for e in events if e.kind == pb.DISPUTE_EVENT_KIND_OPINION_GIVEN]


def test_a_reviewer_gives_one_opinion(services, number):
    marked(services, number, "诈骗")
    _, dispute = in_review(services, number)
    opine(services, dispute, "ann", opinion())

    with pytest.raises(grpc.RpcError) as caught:
        opine(services, dispute, "ann", opinion())

    assert rpc.to_domain_error(caught.value).reason == "REVIEWER_NOT_FREE"


def test_an_appeal_goes_to_another_reviewer_and_is_final(services, number):
    marked(services, number)
    case_number, dispute = in_review(services, number)
    decide(services, dispute, "ann", opinion(pb.DISPUTE_OUTCOME_UPHELD))
    appeal = pb.AppealDisputeRequest(case_number=case_number, statement="仍不认可")

    appealed = services.stubs.disputes.AppealDispute(appeal)
    with pytest.raises(grpc.RpcError) as same:
        decide(services, dispute, "ann", opinion())
    final = decide(services, dispute, "bo", opinion())

    assert appealed.state == pb.DISPUTE_STATE_APPEALED
    assert rpc.to_domain_error(same.value).reason == "REVIEWER_NOT_FREE"
    assert (final.state, final.decided_category) == (pb.DISPUTE_STATE_CLOSED, "CLEARED")
    assert failure(services.stubs.disputes.AppealDispute, appeal) == "APPEAL_USED"
    lookup_when(services, number, lambda r: r.rule == "decided_clear@1")


def test_a_withdrawn_dispute_shows_the_label_again(services, number):
    marked(services, number)
    case_number, _ = proven(services, number)
    lookup_when(services, number, lambda r: r.rule == "disputed@1")
    request = pb.WithdrawDisputeRequest(case_number=case_number)
    services.clock.now_ms += 1_000

    dispute = services.stubs.disputes.WithdrawDispute(request)

    assert dispute.state == pb.DISPUTE_STATE_WITHDRAWN
    lookup_when(services, number, lambda r: r.rule.startswith("crowd"))
    assert failure(services.stubs.disputes.WithdrawDispute, request) == "DISPUTE_STATE_INVALID"


def test_a_request_for_papers_pauses_the_clock(services, number):
    marked(services, number)
    case_number, dispute = in_review(services, number)
    request = pb.RequestEvidenceRequest(
        dispute_id=dispute.dispute_id, reviewer="ann", text="请补充"
    )

    paused = services.stubs.disputes.RequestEvidence(request)
    resumed = services.stubs.disputes.AddEvidence(
        pb.AddEvidenceRequest(case_number=case_number, kind=pb.EVIDENCE_KIND_OTHER, text="已补充")
    )

    assert paused.paused
    assert not paused.HasField("deadline_time")
    assert not resumed.paused
    assert resumed.HasField("deadline_time")


def test_the_applicant_sees_the_steps_without_names_or_opinions(services, number):
    marked(services, number, "诈骗")
    case_number, dispute = in_review(services, number)
    opine(services, dispute, "ann", opinion())

    events = services.stubs.disputes.ListDisputeEvents(
        pb.ListDisputeEventsRequest(case_number=case_number)
    ).events

    assert "ann" not in {event.actor for event in events}
    assert pb.DISPUTE_EVENT_KIND_OPINION_GIVEN not in {event.kind for event in events}
    assert pb.DISPUTE_EVENT_KIND_SOURCE_ANSWERED in {event.kind for event in events}


def test_disputes_are_listed_by_page_and_filter(services):
    numbers = [f"+86{next(_digits)}" for _ in range(5)]
    for number in numbers:
        filed(services, number, ground=pb.DISPUTE_GROUND_CONSENTED)
    request = pb.ListDisputesRequest(reader="ann", page_size=2, ground=pb.DISPUTE_GROUND_CONSENTED)

    seen, total = [], 0
    while True:
        page = services.stubs.disputes.ListDisputes(request)
        seen += [dispute.number for dispute in page.disputes]
        total = page.total_count
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token

    assert sorted(seen) == sorted(numbers)
    assert total == 5
    one = services.stubs.disputes.ListDisputes(
        pb.ListDisputesRequest(reader="ann", number=numbers[0])
    )
    assert [dispute.number for dispute in one.disputes] == numbers[:1]


def test_a_page_token_from_elsewhere_is_refused(services):
    request = pb.ListDisputesRequest(reader="ann", page_token="x")

    assert failure(services.stubs.disputes.ListDisputes, request) == "PAGE_TOKEN_INVALID"


def test_staff_who_do_not_say_who_they_are_read_nothing(services, number):
    case = filed(services, number)
    dispute_id = case.dispute.dispute_id

    assert (
        failure(services.stubs.disputes.GetDispute, pb.GetDisputeRequest(dispute_id=dispute_id))
        == "FIELD_REQUIRED"
    )
    assert (
        failure(services.stubs.disputes.ListDisputes, pb.ListDisputesRequest()) == "FIELD_REQUIRED"
    )


def test_a_case_file_shows_marks_posterior_and_what_each_outcome_would_change(services, number):
    marked(services, number, "诈骗")
    marked(services, number, "快递", "app-two", 3, age_ms=3 * DAY_MS)
    _, dispute = in_review(services, number)

    case = services.stubs.disputes.GetCaseFile(
        pb.GetCaseFileRequest(number=number, reader="ann", dispute_id=dispute.dispute_id)
    )

    assert {(d.source, d.mark_count) for d in case.mark_days} == {("app-one", 8), ("app-two", 3)}
    assert {source.name for source in case.sources} == {"app-one", "app-two"}
    assert case.posterior.mark_count == 11
    cleared = case.prospects[0]
    assert cleared.outcome == pb.DISPUTE_OUTCOME_CLEARED
    assert {s.source: (s.right_mark_count, s.wrong_mark_count) for s in cleared.sources} == {
        "app-one": (0, 8),
        "app-two": (3, 0),
    }


def test_a_decision_counts_for_and_against_the_sources(services, number):
    marked(services, number, "贷款", "app-count-right")
    marked(services, number, "快递", "app-count-wrong", 2)
    _, dispute = in_review(services, number)

    decide(services, dispute, "ann", opinion(pb.DISPUTE_OUTCOME_UPHELD))

    outcomes = services.stubs.disputes.ListSourceOutcomes(pb.ListSourceOutcomesRequest()).outcomes
    found = {o.source: o for o in outcomes}
    assert (found["app-count-right"].right_count, found["app-count-right"].answered_count) == (1, 1)
    assert (found["app-count-wrong"].overturned_count, found["app-count-wrong"].decided_count) == (
        1,
        1,
    )


def test_an_access_is_recorded_with_who_and_what(services, number):
    before = services.stubs.disputes.VerifyAudit(pb.VerifyAuditRequest())

    services.stubs.disputes.RecordAccess(
        pb.RecordAccessRequest(reader="ann", what="number page", number=number)
    )

    after = services.stubs.disputes.VerifyAudit(pb.VerifyAuditRequest())
    assert after.event_count == before.event_count + 1
    assert after.intact
    request = pb.RecordAccessRequest(what="number page")
    assert failure(services.stubs.disputes.RecordAccess, request) == "FIELD_REQUIRED"


def test_submitted_decisions_are_published_without_a_command(services, number):
    decision = arbitration_pb2.Decision(number=number, category="A1100", authority="公安部")
    decision.decided_time.FromMilliseconds(services.clock.now_ms)

    services.stubs.arbitration.SubmitDecisions(
        arbitration_pb2.SubmitDecisionsRequest(decisions=[decision])
    )

    found = lookup_when(services, number, lambda r: r.rule == "decided@1")
    assert (found.category, found.level) == ("A1100", 4)


def test_a_tampered_row_is_found(chdb_engine, chdb_path, tmp_path):
    with in_process(chdb_path, tmp_path) as services:
        filed(services, "+8613800138000")
        services.store.insert(
            "dispute_events",
            services.store.query(
                """
                SELECT seq, dispute_id, number, kind, role, actor, occurred_ms, reason,
                    'another statement' AS text, details, previous_hash, hash
                FROM dispute_events WHERE seq = 1
                """
            ),
        )
        services.store.execute(
            "ALTER TABLE dispute_events DELETE WHERE seq = 1 AND text != 'another statement' "
            "SETTINGS mutations_sync = 1"
        )

        proof = services.stubs.disputes.VerifyAudit(pb.VerifyAuditRequest())

    assert (proof.intact, proof.broken_seq, proof.fault) == (False, 1, "HASH")


def test_a_cut_tail_is_found(chdb_engine, chdb_path, tmp_path):
    with in_process(chdb_path, tmp_path) as services:
        filed(services, "+8613800138000")
        services.store.execute(
            "ALTER TABLE dispute_events DELETE WHERE seq = 2 SETTINGS mutations_sync = 1"
        )

        proof = services.stubs.disputes.VerifyAudit(pb.VerifyAuditRequest())

    assert (proof.intact, proof.fault) == (False, "TAIL")


def test_a_restart_finishes_what_was_left_half_done(chdb_engine, chdb_path, tmp_path):
    database = "restart_of_disputes"
    with in_process(chdb_path, tmp_path, database) as services:
        case = filed(services, "+8613800138000")
        services.store.execute("TRUNCATE TABLE disputes")
        services.store.execute("TRUNCATE TABLE dispute_sources")

    with in_process(chdb_path, tmp_path, database) as services:
        filed(services, "+8613800138001")
        page = services.stubs.disputes.ListDisputes(pb.ListDisputesRequest(reader="ann"))

        assert case.dispute.dispute_id in {dispute.dispute_id for dispute in page.disputes}
        assert services.stubs.disputes.VerifyAudit(pb.VerifyAuditRequest()).intact
        services.store.execute(f"DROP DATABASE {database}")


def test_time_moves_a_dispute_that_nobody_touches(chdb_engine, chdb_path, tmp_path):
    with in_process(chdb_path, tmp_path) as services:
        number = "+8613800138000"
        marked(services, number)
        _, dispute = proven(services, number)
        services.clock.now_ms += 12 * DAY_MS

        moved = services.stubs.disputes.RequestEvidence(
            pb.RequestEvidenceRequest(dispute_id=dispute.dispute_id, reviewer="ann", text="请补充")
        )
        events = services.stubs.disputes.ListDisputeEvents(
            pb.ListDisputeEventsRequest(dispute_id=dispute.dispute_id, reader="ann")
        ).events

    assert moved.state == pb.DISPUTE_STATE_IN_REVIEW
    assert "SOURCES_SILENT" in {event.reason for event in events}
    assert json.loads(events[0].details_json)["contested"] == 3101

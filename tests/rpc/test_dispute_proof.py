"""Disputes over a real channel: who holds the number, and the papers of a case."""

from tests.answers import failure, lookup_when
from tests.dispute_calls import code_of, filed, in_review, marked, proven, reassigned
from zhengming.arbitration.v1 import dispute_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2


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

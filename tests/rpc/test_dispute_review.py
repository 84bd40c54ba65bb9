"""Disputes over a real channel: what is shown meanwhile, what sources say, what is decided."""

import grpc
import pytest

from services.common import rpc
from tests.answers import failure, lookup_when
from tests.dispute_calls import decide, filed, in_review, marked, opine, opinion, proven
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.arbitration.v1 import dispute_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2


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


def test_submitted_decisions_are_published_without_a_command(services, number):
    decision = arbitration_pb2.Decision(number=number, category="A1100", authority="公安部")
    decision.decided_time.FromMilliseconds(services.clock.now_ms)

    services.stubs.arbitration.SubmitDecisions(
        arbitration_pb2.SubmitDecisionsRequest(decisions=[decision])
    )

    found = lookup_when(services, number, lambda r: r.rule == "decided@1")
    assert (found.category, found.level) == ("A1100", 4)

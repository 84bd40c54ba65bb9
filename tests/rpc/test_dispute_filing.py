"""Disputes over a real channel: how they are filed, found again and listed."""

import re

import pytest

from services.common import rpc
from tests.answers import failure
from tests.dispute_calls import DAY_MS, filed, filing, new_number
from zhengming.arbitration.v1 import dispute_pb2 as pb


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
    batch = [filing(new_number()) for _ in range(2000)]

    results = services.stubs.disputes.BatchFileDisputes(
        pb.BatchFileDisputesRequest(disputes=batch)
    ).results

    assert sum(bool(r.filed.case_number) for r in results) == 2000
    request = pb.BatchFileDisputesRequest(disputes=[*batch, filing("+8613800138000")])
    assert failure(services.stubs.disputes.BatchFileDisputes, request) == "BATCH_SIZE_INVALID"


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


def test_disputes_are_listed_by_page_and_filter(services):
    numbers = [new_number() for _ in range(5)]
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

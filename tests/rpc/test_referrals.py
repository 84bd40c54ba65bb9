"""ReferralService over a real channel: drawn from what is published, answered item by item."""

import uuid

import pytest

from services.arbitration.disputes import queries as dispute_queries
from services.common import rpc
from tests.answers import failure, lookup_when
from tests.dispute_calls import DAY_MS, marked, new_number
from zhengming.arbitration.v1 import arbitration_pb2, dispute_pb2
from zhengming.arbitration.v1 import referral_pb2 as pb
from zhengming.ingest.v1 import ingest_pb2


def decided(services, number, category="A1100"):
    """Marks and an authority's decision, published."""
    decision = arbitration_pb2.Decision(number=number, category=category, authority="反诈中心")
    decision.decided_time.FromMilliseconds(services.clock.now_ms - 1000)
    services.stubs.arbitration.SubmitDecisions(
        arbitration_pb2.SubmitDecisionsRequest(decisions=[decision])
    )
    marked(services, number, "诈骗")
    lookup_when(services, number, lambda r: r.rule == "decided@1" and r.mark_count == 8)
    return number


def draw(services, **changes):
    request = pb.DrawReferralsRequest(
        **{"request_id": uuid.uuid4().hex, "drawn_by": "ann", **changes}
    )
    return services.stubs.referrals.DrawReferrals(request)


def listed(services, **filters):
    request = pb.ListReferralsRequest(reader="ann", **filters)
    return services.stubs.referrals.ListReferrals(request)


def feedback(services, referral_id, disposition=pb.DISPOSITION_PENALISED, text="罚款", at_ms=0):
    found = pb.Feedback(referral_id=referral_id, disposition=disposition, text=text)
    found.dispose_time.FromMilliseconds(at_ms or services.clock.now_ms)
    return found


def record(services, *items, **changes):
    request = pb.RecordFeedbackRequest(recorded_by="ann", feedback=items, **changes)
    return services.stubs.referrals.RecordFeedback(request).results


def audited(services):
    return [event.text for event in dispute_queries.reads(services.store, 5)]


def test_a_grave_label_is_drawn_once_for_the_authority_in_charge(services, number):
    decided(services, number)

    first = draw(services)
    again = draw(services)

    (found,) = listed(services, number=number).referrals
    assert [(c.authority, c.authority_en) for c in first.counts] == [
        ("公安部", "Ministry of Public Security")
    ]
    assert list(again.counts) == []
    assert found.request_id == first.request_id
    assert (found.category, found.level, found.adjudicated) == ("A1100", 4, True)
    assert found.mark_count == 8
    assert found.effective_sources > 0
    assert not found.HasField("feedback")


def test_the_same_draw_again_gives_the_first_answer(services, number):
    decided(services, number)
    name = uuid.uuid4().hex
    first = draw(services, request_id=name)
    decided(services, new_number())

    assert draw(services, request_id=name, drawn_by="bob", maximum_count=1) == first


def test_crowd_marks_alone_and_marketing_are_not_referred(services, number):
    other = new_number()
    marked(services, number, "诈骗")
    marked(services, other, "贷款")
    draw(services)

    assert listed(services, number=number).total_count == 0
    assert listed(services, number=other).total_count == 0


def test_a_number_of_a_new_holder_is_referred_anew(services, number):
    decided(services, number)
    draw(services)
    event = ingest_pb2.LifecycleEvent(number=number, kind=ingest_pb2.LIFECYCLE_KIND_ASSIGNED)
    event.occurred_time.FromMilliseconds(services.clock.now_ms)
    services.stubs.ingest.SubmitLifecycle(ingest_pb2.SubmitLifecycleRequest(events=[event]))
    services.clock.now_ms += DAY_MS
    lookup_when(services, number, lambda r: not r.category)
    decided(services, number)
    draw(services)

    assert [r.epoch for r in listed(services, number=number).referrals] == [1, 0]


def test_a_draw_for_one_authority_and_so_many_leaves_the_rest(services, number):
    numbers = [decided(services, new_number(), "A2000") for _ in range(3)]
    decided(services, number)

    drawn = draw(services, authority="工信部", maximum_count=2)

    assert [(c.authority, c.referral_count) for c in drawn.counts] == [("工信部", 2)]
    assert sum(listed(services, number=n).total_count for n in numbers) == 2
    assert listed(services, number=number).total_count == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"request_id": ""}, "FIELD_REQUIRED"),
        ({"request_id": "x" * 65}, "FIELD_TOO_LONG"),
        ({"drawn_by": " "}, "FIELD_REQUIRED"),
        ({"authority": "某部"}, "FIELD_OUT_OF_RANGE"),
        ({"maximum_count": 10_001}, "FIELD_OUT_OF_RANGE"),
        ({"maximum_count": -1}, "FIELD_OUT_OF_RANGE"),
    ],
)
def test_a_draw_that_lacks_something_is_refused_with_its_reason(services, changes, reason):
    assert failure(lambda: draw(services, **changes)) == reason


def test_feedback_is_answered_item_by_item(services, number):
    decided(services, number)
    draw(services)
    name = listed(services, number=number).referrals[0].referral_id
    future_ms = services.clock.now_ms + 2 * DAY_MS

    results = record(
        services,
        feedback(services, name, pb.DISPOSITION_CASE_OPENED, "立案"),
        feedback(services, "RFNONE"),
        feedback(services, name, 0),
        feedback(services, name, text="x" * 2001),
        pb.Feedback(referral_id=name, disposition=pb.DISPOSITION_PENALISED),
        feedback(services, name, at_ms=future_ms),
        feedback(services, name, pb.DISPOSITION_NUMBER_SHUT_DOWN, "关停"),
    )

    errors = [rpc.from_status_proto(r.error) for r in results]
    assert [e and e.reason for e in errors] == [
        None, "REFERRAL_NOT_FOUND", "FIELD_REQUIRED", "FIELD_TOO_LONG", "FIELD_REQUIRED",
        "TIME_INVALID", None,
    ]  # fmt: skip
    (found,) = listed(services, referral_id=name).referrals
    assert found.feedback == results[6].feedback
    assert [f.text for f in found.history] == ["立案", "关停"]


def test_the_same_feedback_again_changes_nothing(services, number):
    decided(services, number)
    draw(services)
    name = listed(services, number=number).referrals[0].referral_id
    (first,) = record(services, feedback(services, name))
    services.clock.now_ms += 1

    again = record(services, *[feedback(services, name, at_ms=services.clock.now_ms - 1)] * 2)

    assert list(again) == [first, first]
    assert len(listed(services, referral_id=name).referrals[0].history) == 1


def test_an_authority_answers_its_own_referrals_alone(services, number):
    decided(services, number)
    draw(services)
    name = listed(services, number=number).referrals[0].referral_id

    (refused,) = record(services, feedback(services, name), authority="工信部")
    (taken,) = record(services, feedback(services, name), authority="公安部")

    assert rpc.from_status_proto(refused.error).reason == "REFERRAL_NOT_FOUND"
    assert taken.feedback.recorded_by == "ann"


def test_counts_tell_what_is_open_and_what_was_done(services, number):
    before = {c.authority: c for c in listed(services).counts}
    start = before.get("公安部", pb.AuthorityCount())
    for n in (number, new_number(), new_number()):
        decided(services, n)
    draw(services)
    name = listed(services, number=number).referrals[0].referral_id
    record(services, feedback(services, name, pb.DISPOSITION_TRANSFERRED))

    (count,) = listed(services, authority="公安部").counts
    still_open = listed(services, open_only=True, page_size=5000).referrals

    assert count.referral_count >= start.referral_count + 3
    assert count.open_count == count.referral_count - sum(
        d.referral_count
        for d in count.dispositions
        if d.disposition not in (pb.DISPOSITION_ACCEPTED, pb.DISPOSITION_CASE_OPENED)
    )
    assert name not in {r.referral_id for r in still_open}


def test_pages_of_one_hold_every_referral_once(services):
    seen, token = [], ""
    while True:
        page = listed(services, page_size=1, page_token=token)
        seen += [r.referral_id for r in page.referrals]
        token = page.next_page_token
        if not token:
            break

    assert len(seen) == len(set(seen)) == page.total_count
    assert failure(lambda: listed(services, page_token="x")) == "PAGE_TOKEN_INVALID"


def test_draws_reads_exports_and_feedback_stand_in_the_proven_audit(services, number):
    decided(services, number)
    drawn = draw(services)
    name = listed(services, authority="公安部", export=True).referrals[0].referral_id
    last = audited(services)[0]
    record(services, feedback(services, name, pb.DISPOSITION_CREDIT_RECORDED))

    events = list(dispute_queries.all_events(services.store))
    proof = services.stubs.disputes.VerifyAudit(dispute_pb2.VerifyAuditRequest())

    assert last == "export of referrals 公安部"
    assert any(
        e.kind == dispute_pb2.DISPUTE_EVENT_KIND_REFERRED and drawn.request_id in e.text
        for e in events
    )
    assert any(
        e.kind == dispute_pb2.DISPUTE_EVENT_KIND_REFERRAL_ANSWERED and name in e.details
        for e in events
    )
    assert proof.intact
    assert failure(lambda: services.stubs.referrals.ListReferrals(pb.ListReferralsRequest())) == (
        "FIELD_REQUIRED"
    )


def test_an_enterprise_with_many_offending_numbers_is_listed_and_a_person_is_not(services):
    numbers = [new_number() for _ in range(6)]
    rows = [
        ingest_pb2.Registration(number=n, holder=holder, identity=identity)
        for n, holder, identity in zip(
            numbers,
            ["某某金融服务公司"] * 3 + ["张三"] * 3,
            ["C03"] * 3 + ["C00"] * 3,
            strict=True,
        )
    ]
    for row in rows:
        row.valid_from_time.FromMilliseconds(services.clock.now_ms - DAY_MS)
    services.stubs.ingest.SubmitRegistry(ingest_pb2.SubmitRegistryRequest(registrations=rows))
    for n in numbers:
        decided(services, n, "A2000")

    found = services.stubs.referrals.ListOffendingHolders(
        pb.ListOffendingHoldersRequest(reader="ann")
    ).holders
    few = services.stubs.referrals.ListOffendingHolders(
        pb.ListOffendingHoldersRequest(reader="ann", minimum_count=4)
    ).holders

    assert [
        (h.holder, h.offending_count, h.malicious_count, h.registered_count) for h in found
    ] == [("某某金融服务公司", 3, 3, 3)]
    assert list(few) == []
    request = pb.ListOffendingHoldersRequest(reader="ann", minimum_count=1)
    assert failure(lambda: services.stubs.referrals.ListOffendingHolders(request)) == (
        "FIELD_OUT_OF_RANGE"
    )

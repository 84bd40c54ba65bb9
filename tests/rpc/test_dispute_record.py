"""Disputes over a real channel: who reads what, and the log that nobody changes unseen."""

import json

from tests.answers import failure
from tests.dispute_calls import DAY_MS, filed, in_review, marked, opine, opinion, proven
from tests.services_in_process import in_process
from zhengming.arbitration.v1 import dispute_pb2 as pb


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

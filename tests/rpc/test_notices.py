"""NoticeService over a real channel, with real receivers on 127.0.0.1."""

import base64
import hashlib
import hmac
import socket
import threading

import pytest

from services.arbitration.notices import sending
from services.arbitration.notices.notice import MAX_DELAY_S, MAX_TRIES
from tests.answers import failure, lookup_when
from tests.dispute_calls import (
    DAY_MS,
    decide,
    filed,
    in_review,
    marked,
    opinion,
    proven,
    reassigned,
)
from tests.receiver import receiving
from zhengming.arbitration.v1 import dispute_pb2
from zhengming.arbitration.v1 import notice_pb2 as pb
from zhengming.ingest.v1 import ingest_pb2


@pytest.fixture
def receiver():
    with receiving() as running:
        yield running


@pytest.fixture(autouse=True)
def no_targets_left(services):
    yield
    for target in listed(services):
        remove(services, target.target_id)


def create(services, url, **party):
    who = {} if "case_number" in party else {"created_by": "olga"}
    request = pb.CreateNoticeTargetRequest(url=url, **party, **who)
    return services.stubs.notices.CreateNoticeTarget(request)


def remove(services, target_id, **changes):
    request = pb.DeleteNoticeTargetRequest(target_id=target_id, **(changes or {"removed_by": "o"}))
    return services.stubs.notices.DeleteNoticeTarget(request)


def listed(services):
    request = pb.ListNoticeTargetsRequest(reader="olga")
    return services.stubs.notices.ListNoticeTargets(request).targets


def notices(services, target_id):
    request = pb.ListNoticesRequest(target_id=target_id, reader="olga")
    return services.stubs.notices.ListNotices(request).notices


def notices_when(services, target_id, condition):
    pause = threading.Event()
    for _ in range(1_200):
        found = notices(services, target_id)
        if condition(found):
            return found
        pause.wait(0.05)
    raise AssertionError(f"never so: {found}")


def events(received):
    return [r.json["data"].get("event") for r in received if r.json["type"] == "dispute.changed"]


def test_a_source_hears_of_disputes_over_its_marks_and_can_check_who_says_so(
    services, number, receiver
):
    target = create(services, receiver.url, source="app-one")
    marked(services, number)
    _, dispute = in_review(services, number)
    decide(services, dispute, "ann", opinion())

    came = receiver.when(lambda r: "DECIDED" in events(r))

    assert events(came) == ["SOURCES_ASKED", "REVIEW_OPENED", "DECIDED"]
    last = came[-1]
    key = base64.b64decode(target.signing_secret.removeprefix("whsec_"))
    signed = f"{last.headers['webhook-id']}.{last.headers['webhook-timestamp']}.".encode()
    right = base64.b64encode(hmac.new(key, signed + last.body, hashlib.sha256).digest()).decode()
    assert last.headers["webhook-signature"] == f"v1,{right}"
    assert last.json["id"] == last.headers["webhook-id"]
    assert last.json["data"] | {"seq": 0, "deadline_ms": 0} == {
        "dispute_id": dispute.dispute_id,
        "number": number,
        "seq": 0,
        "event": "DECIDED",
        "state": "DECIDED",
        "contested_category": "A3101",
        "deadline_ms": 0,
        "outcome": "CLEARED",
        "reason": "MARKS_UNFOUNDED",
        "decided_category": "CLEARED",
    }


def test_another_source_hears_nothing(services, number, receiver):
    create(services, receiver.url, source="app-other")
    marked(services, number)
    _, dispute = in_review(services, number)
    with receiving() as witness:
        create(services, witness.url, source="app-one")
        decide(services, dispute, "ann", opinion())
        witness.when(lambda r: "DECIDED" in events(r))

    assert receiver.received == []


def test_nothing_from_before_the_target_is_told(services, number, receiver):
    marked(services, number)
    _, dispute = in_review(services, number)
    services.clock.now_ms += 1
    create(services, receiver.url, source="app-one")
    decide(services, dispute, "ann", opinion())

    came = receiver.when(lambda r: bool(r))

    assert events(came) == ["DECIDED"]


def test_an_applicant_hears_of_the_case_with_the_reply_and_of_the_number(
    services, number, receiver
):
    marked(services, number)
    lookup_when(services, number, lambda r: bool(r.category))
    case = filed(services, number)
    create(services, receiver.url, case_number=case.case_number)
    # Only what the case number opens is told before ownership is proven.
    code = services.stubs.disputes.SendOwnershipCode(
        dispute_pb2.SendOwnershipCodeRequest(case_number=case.case_number)
    )
    assert code.dispute_id == case.dispute.dispute_id
    box = services.stubs.disputes.ListOutboxMessages(
        dispute_pb2.ListOutboxMessagesRequest(reader="o")
    )
    text = next(m.text for m in box.messages if case.dispute.dispute_id in m.text)
    dispute = services.stubs.disputes.ProveOwnership(
        dispute_pb2.ProveOwnershipRequest(
            case_number=case.case_number, code=text.split("：")[1].split("，")[0]
        )
    )
    for source in dispute.pending_sources:
        dispute = services.stubs.disputes.AnswerAsSource(
            dispute_pb2.AnswerAsSourceRequest(
                dispute_id=dispute.dispute_id,
                source=source,
                stance=dispute_pb2.SOURCE_STANCE_CONCEDED,
            )
        )
    decide(services, dispute, "ann", opinion())

    came = receiver.when(
        lambda r: (
            "DECIDED" in events(r) and any(x.json["data"]["state"] == "ADJUDICATED" for x in r)
        )
    )

    assert events(came)[0] == "OWNERSHIP_PROVEN"
    decided = next(r.json["data"] for r in came if r.json["data"].get("event") == "DECIDED")
    assert decided["text"] == "经核查"
    changes = [r.json["data"] for r in came if r.json["type"] == "number.changed"]
    assert {c["number"] for c in changes} == {number}
    assert (changes[-1]["state"], changes[-1]["category"]) == ("ADJUDICATED", "")
    assert case.case_number not in "".join(r.body.decode() for r in came)


def test_who_has_not_proven_ownership_hears_nothing_of_the_number(services, number, receiver):
    marked(services, number)
    case = filed(services, number)
    create(services, receiver.url, case_number=case.case_number)
    with receiving() as witness:
        holder_of(services, number, "某某公司")
        create(services, witness.url, holder="某某公司")
        decided_as(services, number, "A1100")
        witness.when(lambda r: any(x.json["data"]["category"] == "A1100" for x in r))

    assert receiver.received == []


def test_a_former_holder_hears_nothing_of_the_next_ones_number(services, number, receiver):
    marked(services, number)
    case_number, _ = proven(services, number)
    create(services, receiver.url, case_number=case_number)
    services.clock.now_ms += 2 * DAY_MS
    reassigned(services, number)
    with receiving() as witness:
        holder_of(services, number, "新公司")
        create(services, witness.url, holder="新公司")
        decided_as(services, number, "A1100")
        witness.when(lambda r: any(x.json["data"]["category"] == "A1100" for x in r))

    told = [r.json for r in receiver.received if r.json["type"] == "number.changed"]
    assert not any(t["data"]["category"] == "A1100" for t in told)


def holder_of(services, number, name):
    row = ingest_pb2.Registration(number=number, holder=name, identity="C00")
    row.valid_from_time.FromMilliseconds(services.clock.now_ms - 1000)
    services.stubs.ingest.SubmitRegistry(ingest_pb2.SubmitRegistryRequest(registrations=[row]))


def decided_as(services, number, category):
    from zhengming.arbitration.v1 import arbitration_pb2

    services.clock.now_ms += 1
    decision = arbitration_pb2.Decision(number=number, category=category, authority="反诈中心")
    decision.decided_time.FromMilliseconds(services.clock.now_ms)
    services.stubs.arbitration.SubmitDecisions(
        arbitration_pb2.SubmitDecisionsRequest(decisions=[decision])
    )


def test_a_failing_receiver_is_tried_again_later_and_gets_the_same_notice(
    services, number, receiver
):
    receiver.status = 503
    target = create(services, receiver.url, source="app-one")
    marked(services, number)
    proven(services, number)
    receiver.when(lambda r: len(r) == 1)
    (waiting,) = notices_when(services, target.target_id, lambda n: n and n[0].attempt_count == 1)
    receiver.status = 204
    services.clock.now_ms = waiting.due_time.ToMilliseconds()

    first, again = receiver.when(lambda r: len(r) == 2)

    assert waiting.last_cause == "HTTP_503"
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.body == again.body
    (done,) = notices_when(
        services, target.target_id, lambda n: n[0].state == pb.NOTICE_STATE_DELIVERED
    )
    assert done.attempt_count == 2


def test_a_notice_that_never_arrives_is_given_up_and_can_be_begun_anew(services, number, receiver):
    receiver.status = 500
    target = create(services, receiver.url, source="app-one")
    marked(services, number)
    proven(services, number)
    for tries in range(1, MAX_TRIES + 1):
        (found,) = notices_when(
            services, target.target_id, lambda n, t=tries: n and n[0].attempt_count >= t
        )
        services.clock.now_ms += MAX_DELAY_S * 1000
    dead = found.state
    receiver.status = 200
    asked = pb.RetryNoticesRequest(target_id=target.target_id, asked_by="olga")

    begun = services.stubs.notices.RetryNotices(asked).notice_count
    notices_when(services, target.target_id, lambda n: n[0].state == pb.NOTICE_STATE_DELIVERED)

    assert dead == pb.NOTICE_STATE_DEAD
    assert begun == 1
    assert len(receiver.received) == MAX_TRIES + 1
    assert services.stubs.notices.RetryNotices(asked).notice_count == 0
    (shown,) = listed(services)
    assert (shown.waiting_count, shown.delivered_count, shown.dead_count) == (0, 1, 0)


def test_a_redirect_is_not_followed(services, number, receiver):
    with receiving() as elsewhere:
        receiver.status, receiver.location = 307, elsewhere.url
        target = create(services, receiver.url, source="app-one")
        marked(services, number)
        proven(services, number)
        (found,) = notices_when(services, target.target_id, lambda n: n and n[0].attempt_count)

        assert found.last_cause == "HTTP_307"
        assert elsewhere.received == []


def test_a_removed_target_gets_nothing_more(services, number, receiver):
    receiver.status = 500
    target = create(services, receiver.url, source="app-one")
    marked(services, number)
    _, dispute = in_review(services, number)
    receiver.when(lambda r: bool(r))
    remove(services, target.target_id)
    with receiving() as witness:
        create(services, witness.url, source="app-one")
        decide(services, dispute, "ann", opinion())
        witness.when(lambda r: "DECIDED" in events(r))

    assert "DECIDED" not in events(receiver.received)
    assert failure(remove, services, target.target_id) == "NOTICE_TARGET_NOT_FOUND"


def test_the_same_party_and_address_is_the_same_target_and_a_fourth_is_refused(
    services, number, receiver
):
    first = create(services, receiver.url, source="app-one")
    again = create(services, receiver.url, source="app-one")
    for at in range(2):
        create(services, f"{receiver.url}&{at}", source="app-one")

    assert again == first
    assert len(listed(services)) == 3
    assert failure(create, services, f"{receiver.url}&9", source="app-one") == (
        "NOTICE_TARGET_LIMIT"
    )


def test_a_case_shows_and_removes_its_own_targets_alone(services, number, receiver):
    vendor = create(services, receiver.url, source="app-one")
    case = filed(services, number)
    own = create(services, receiver.url, case_number=case.case_number)
    request = pb.ListNoticeTargetsRequest(case_number=case.case_number)

    shown = services.stubs.notices.ListNoticeTargets(request).targets
    refused = failure(remove, services, vendor.target_id, case_number=case.case_number)
    remove(services, own.target_id, case_number=case.case_number)

    assert [t.target_id for t in shown] == [own.target_id]
    assert shown[0].signing_secret == ""
    assert refused == "NOTICE_TARGET_NOT_FOUND"
    assert not services.stubs.notices.ListNoticeTargets(request).targets


def test_a_source_shows_retries_and_removes_its_own_targets_alone(services, number, receiver):
    own = create(services, receiver.url, source="app-one")
    other = create(services, receiver.url, source="app-two")
    request = pb.ListNoticeTargetsRequest(reader="v", source="app-one")
    stub = services.stubs.notices

    shown = stub.ListNoticeTargets(request).targets
    refused = [
        failure(call, asked)
        for call, asked in (
            (
                stub.DeleteNoticeTarget,
                pb.DeleteNoticeTargetRequest(
                    target_id=other.target_id, removed_by="v", source="app-one"
                ),
            ),
            (
                stub.ListNotices,
                pb.ListNoticesRequest(target_id=other.target_id, reader="v", source="app-one"),
            ),
            (
                stub.RetryNotices,
                pb.RetryNoticesRequest(target_id=other.target_id, asked_by="v", source="app-one"),
            ),
        )
    ]
    stub.RetryNotices(
        pb.RetryNoticesRequest(target_id=own.target_id, asked_by="v", source="app-one")
    )
    remove(services, own.target_id, removed_by="v", source="app-one")

    assert [t.target_id for t in shown] == [own.target_id]
    assert refused == ["NOTICE_TARGET_NOT_FOUND"] * 3
    assert not stub.ListNoticeTargets(request).targets
    assert other.target_id in [t.target_id for t in listed(services)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "FIELD_REQUIRED"),
        ({"source": " "}, "FIELD_REQUIRED"),
        ({"source": "a", "created_by": ""}, "FIELD_REQUIRED"),
        ({"source": "a", "url": ""}, "FIELD_REQUIRED"),
        ({"source": "a", "url": "https://a.example/" + "x" * 500}, "FIELD_TOO_LONG"),
        ({"source": "a", "url": "ftp://a.example/"}, "NOTICE_URL_REFUSED"),
        ({"case_number": "ZM1-1"}, "DISPUTE_NOT_FOUND"),
    ],
)
def test_a_target_that_lacks_something_is_refused_with_its_reason(services, changes, reason):
    request = pb.CreateNoticeTargetRequest(
        **{"url": "https://a.example/", "created_by": "olga", **changes}
    )

    assert failure(services.stubs.notices.CreateNoticeTarget, request) == reason


def test_targets_stand_in_the_audit_and_the_chain_holds(services, receiver):
    create(services, receiver.url, source="app-one")

    proof = services.stubs.disputes.VerifyAudit(dispute_pb2.VerifyAuditRequest())

    assert proof.intact


# ---- the sending itself -----------------------------------------------------------------------


def test_a_private_address_is_refused_at_the_time_of_sending_too(receiver):
    assert sending.post(receiver.url, b"{}", {}, allow_private=False) == (0, "SCHEME")
    for host in ("127.0.0.1", "[::1]"):
        url = f"https://{host}:{receiver.port}/"
        assert sending.post(url, b"{}", {}, allow_private=False) == (0, "ADDRESS_NOT_PUBLIC")


def test_a_name_that_stands_for_a_private_address_is_refused(receiver, monkeypatch):
    """The resolver is the network's, not ours: it is what an attacker controls."""

    def resolve(host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    found = sending.post(f"https://a.example:{receiver.port}/", b"{}", {}, allow_private=False)

    assert found == (0, "ADDRESS_NOT_PUBLIC")
    assert receiver.received == []


def test_a_receiver_that_is_not_there_or_speaks_no_tls_is_an_answer_too(receiver):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert sending.post(f"http://127.0.0.1:{port}/", b"{}", {}, True) == (0, "NO_ANSWER")
    status, cause = sending.post(f"https://127.0.0.1:{receiver.port}/", b"{}", {}, True)
    assert (status, cause in ("TLS", "NO_ANSWER")) == (0, True)


def test_a_receiver_that_dribbles_is_cut_off(monkeypatch):
    monkeypatch.setattr(sending, "ANSWER_S", 0.3)
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def dribble():
            peer, _ = server.accept()
            with peer:
                while not stop.wait(0.05):
                    try:
                        peer.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=dribble, daemon=True)
        thread.start()
        found = sending.post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}, True)
        stop.set()
        thread.join()

    assert found == (0, "TIMEOUT")

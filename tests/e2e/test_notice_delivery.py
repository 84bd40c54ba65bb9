"""Notices through a kill: what was to be told is told, once the services are back."""

import os
import signal
import threading
import time
import uuid

from tests.answers import lookup_when
from tests.e2e.conftest import Services
from tests.e2e.test_dispute_to_reputation import marked
from tests.receiver import receiving
from zhengming.arbitration.v1 import dispute_pb2, notice_pb2

DEADLINE_S = 60


def test_a_kill_loses_no_notice(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "ZHENGMING_PRIVATE_NOTICES", "1")
    services = Services(f"chdb:{tmp_path / 'store'}", tmp_path)
    try:
        with receiving() as receiver:
            receiver.status = 503
            services.stubs.notices.CreateNoticeTarget(
                notice_pb2.CreateNoticeTargetRequest(
                    source="app-one", url=receiver.url, created_by="olga"
                )
            )
            numbers = [f"+8613812340{i:03d}" for i in range(4)]
            for number in numbers:
                marked(services, number, "贷款")
                lookup_when(services, number, lambda r: r.mark_count > 0)
                filed = services.stubs.disputes.FileDispute(
                    dispute_pb2.FileDisputeRequest(
                        number=number,
                        request_id=uuid.uuid4().hex,
                        applicant_kind=dispute_pb2.APPLICANT_KIND_PERSON,
                        ground=dispute_pb2.DISPUTE_GROUND_OTHER,
                        statement="不是我",
                    )
                )
                services.stubs.disputes.ConfirmOwnership(
                    dispute_pb2.ConfirmOwnershipRequest(
                        dispute_id=filed.dispute.dispute_id, reviewer="ann", text="核对无误"
                    )
                )
            receiver.when(lambda r: bool(r))
            services.end(signal.SIGKILL)
            before = list(receiver.received)
            receiver.status = 200
            services.start()

            came = receiver.when(
                lambda r: {x.json["data"]["number"] for x in r if x.status == 200} == set(numbers)
            )

            ids = {x.json["data"]["number"]: x.json["id"] for x in before}
            again = {x.json["data"]["number"]: x.json["id"] for x in came[len(before) :]}
            assert before
            assert all(again[number] == name for number, name in ids.items())
            assert _delivered(services) == len(numbers)
    finally:
        if services.process.poll() is None:
            services.end(signal.SIGTERM)


def _delivered(services):
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while time.monotonic() < until:
        (target,) = services.stubs.notices.ListNoticeTargets(
            notice_pb2.ListNoticeTargetsRequest(reader="olga")
        ).targets
        if not target.waiting_count:
            break
        pause.wait(0.05)
    return target.delivered_count

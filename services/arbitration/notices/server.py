"""NoticeService over gRPC."""

import threading
from collections.abc import Mapping
from typing import Any

import grpc

from services.arbitration.disputes import requests
from services.arbitration.disputes.cases import Cases
from services.arbitration.disputes.events import Step
from services.arbitration.disputes.words import Kind, Role
from services.arbitration.notices import queries
from services.arbitration.notices.addresses import place_of
from services.arbitration.notices.courier import Courier
from services.arbitration.notices.notice import (
    Attempt,
    Party,
    State,
    Target,
    shown_key,
    signing_key,
    target_id,
)
from services.common.clock import Clock
from services.common.errors import InvalidArgument, NotFound, ResourceExhausted
from services.common.store import Store
from zhengming.arbitration.v1 import notice_pb2 as pb
from zhengming.arbitration.v1 import notice_pb2_grpc as pb_grpc

MAX_TARGETS = 3
"""Addresses of one party."""
MAX_NOTICES = 100


class NoticeServicer(pb_grpc.NoticeServiceServicer):
    """Keeps targets; the only writer of their table."""

    def __init__(
        self,
        store: Store,
        cases: Cases,
        courier: Courier,
        clock: Clock,
        secret: bytes,
        allow_private: bool,
    ) -> None:
        self._store, self._cases, self._courier = store, cases, courier
        self._clock, self._secret, self._allow_private = clock, secret, allow_private
        self._writing = threading.Lock()

    def CreateNoticeTarget(
        self, request: pb.CreateNoticeTargetRequest, context: grpc.ServicerContext
    ) -> pb.NoticeTarget:
        """Add a target."""
        kind = request.WhichOneof("party")
        number, created_by = 0, ""
        if kind == "case_number":
            party, name = Party.APPLICANT, self._cases.dispute_of_case(request.case_number)
            number = self._cases.get(name).number
        elif kind is None:
            raise InvalidArgument("FIELD_REQUIRED", "party is required", field="party")
        else:
            party = Party.SOURCE if kind == "source" else Party.HOLDER
            name = requests.text(getattr(request, kind), kind, requests.MAX_NAME)
            created_by = requests.text(request.created_by, "created_by", requests.MAX_NAME)
        url = request.url.strip()
        place_of(url, self._allow_private)
        wanted = target_id(self._secret, party, name, url)
        with self._writing:
            known = queries.targets(self._store)
            of_party = [t for t in known if (t.party, t.name) == (party, name)]
            target = next((t for t in of_party if t.target_id == wanted), None)
            if target is None:
                if len(of_party) >= MAX_TARGETS:
                    raise ResourceExhausted(
                        "NOTICE_TARGET_LIMIT",
                        f"at most {MAX_TARGETS} addresses of one party",
                        maximum=MAX_TARGETS,
                    )
                self._courier.begin()
                now_ms = self._clock()
                target = Target(wanted, party, name, number, url, created_by, now_ms)
                self._record(target, "added", created_by)
                queries.insert_target(self._store, target, False, now_ms)
        message = _message(target, {})
        message.signing_secret = shown_key(signing_key(self._secret, target.target_id))
        return message

    def ListNoticeTargets(
        self, request: pb.ListNoticeTargetsRequest, context: grpc.ServicerContext
    ) -> pb.ListNoticeTargetsResponse:
        """Show targets."""
        known = queries.targets(self._store)
        if request.case_number:
            name = self._cases.dispute_of_case(request.case_number)
            known = [t for t in known if (t.party, t.name) == (Party.APPLICANT, name)]
        else:
            reader = requests.text(request.reader, "reader", requests.MAX_NAME)
            self._cases.record_read(reader, "notice targets")
            known = [t for t in known if _is_of(t, request.source)]
        counts = queries.counts(self._store) if known else {}
        return pb.ListNoticeTargetsResponse(
            targets=[_message(t, counts.get(t.target_id, {})) for t in known]
        )

    def DeleteNoticeTarget(
        self, request: pb.DeleteNoticeTargetRequest, context: grpc.ServicerContext
    ) -> pb.DeleteNoticeTargetResponse:
        """Remove a target."""
        name, removed_by = "", ""
        if request.case_number:
            name = self._cases.dispute_of_case(request.case_number)
        else:
            removed_by = requests.text(request.removed_by, "removed_by", requests.MAX_NAME)
        with self._writing:
            target = self._target(request.target_id, request.source)
            if name and (target.party, target.name) != (Party.APPLICANT, name):
                raise _not_found(request.target_id)
            self._record(target, "removed", removed_by)
            # A clock that stands still must not leave two rows of equal standing.
            changed_ms = max(self._clock(), target.created_ms + 1)
            queries.insert_target(self._store, target, True, changed_ms)
        return pb.DeleteNoticeTargetResponse()

    def ListNotices(
        self, request: pb.ListNoticesRequest, context: grpc.ServicerContext
    ) -> pb.ListNoticesResponse:
        """Show notices."""
        reader = requests.text(request.reader, "reader", requests.MAX_NAME)
        target = self._target(request.target_id, request.source)
        self._cases.record_read(reader, f"notices of {target.target_id}")
        rows = queries.newest(self._store, target.target_id, int(request.state), MAX_NOTICES)
        return pb.ListNoticesResponse(notices=[_notice(row) for row in rows])

    def RetryNotices(
        self, request: pb.RetryNoticesRequest, context: grpc.ServicerContext
    ) -> pb.RetryNoticesResponse:
        """Begin dead notices anew."""
        asked_by = requests.text(request.asked_by, "asked_by", requests.MAX_NAME)
        target, now_ms = self._target(request.target_id, request.source), self._clock()
        rows = queries.newest(self._store, target.target_id, int(State.DEAD), MAX_NOTICES)
        if rows:
            self._record(target, "retried", asked_by)
            queries.insert_attempts(
                self._store,
                [
                    Attempt(
                        row["notice_id"], target.target_id, row["attempt"] + 1, 0, State.WAITING,
                        0, "", now_ms, now_ms,
                    )
                    for row in rows
                ],
            )  # fmt: skip
            self._courier.wake()
        return pb.RetryNoticesResponse(notice_count=len(rows))

    def _target(self, wanted: str, source: str) -> Target:
        name = requests.text(wanted, "target_id", 40)
        for target in queries.targets(self._store):
            if target.target_id == name and _is_of(target, source):
                return target
        raise _not_found(name)

    def _record(self, target: Target, what: str, actor: str) -> None:
        role = Role.READER if actor else Role.APPLICANT
        step = Step(
            Kind.NOTICE_TARGET_CHANGED,
            role,
            actor,
            text=what,
            details={"target": target.target_id, "party": target.party.name},
        )
        self._cases.record(step, target.number)


def _is_of(target: Target, source: str) -> bool:
    """Whether a target may be seen as this source; by staff, as "", every one."""
    return not source or (target.party, target.name) == (Party.SOURCE, source)


def _not_found(wanted: str) -> NotFound:
    return NotFound("NOTICE_TARGET_NOT_FOUND", f"no target {wanted[:20]!r}", target=wanted[:20])


def _message(target: Target, counts: Mapping[int, int]) -> pb.NoticeTarget:
    message = pb.NoticeTarget(
        target_id=target.target_id,
        party=int(target.party),  # type: ignore[arg-type] # enum values are ints on the wire
        name=target.name,
        url=target.url,
        created_by=target.created_by,
        waiting_count=counts.get(0, 0) + counts.get(State.WAITING, 0),
        delivered_count=counts.get(State.DELIVERED, 0),
        dead_count=counts.get(State.DEAD, 0),
    )
    message.create_time.FromMilliseconds(target.created_ms)
    return message


def _notice(row: Mapping[str, Any]) -> pb.Notice:
    message = pb.Notice(
        notice_id=row["notice_id"],
        kind=row["kind"],
        state=row["state"] or int(State.WAITING),  # type: ignore[arg-type]
        attempt_count=row["attempt"],
        last_status=row["status"],
        last_cause=row["cause"],
    )
    message.create_time.FromMilliseconds(row["created_ms"])
    if row["attempted_ms"]:
        message.attempt_time.FromMilliseconds(row["attempted_ms"])
    if row["due_ms"]:
        message.due_time.FromMilliseconds(row["due_ms"])
    return message


def register(server: grpc.Server, servicer: NoticeServicer) -> None:
    """Add the service to a server."""
    pb_grpc.add_NoticeServiceServicer_to_server(servicer, server)

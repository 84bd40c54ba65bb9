"""ReferralService over gRPC."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from services.arbitration.disputes import requests
from services.arbitration.disputes.cases import Cases
from services.arbitration.disputes.events import Step
from services.arbitration.disputes.words import Kind, Role
from services.arbitration.referrals import queries, wire
from services.arbitration.referrals.holders import FLOOR, offending_holders
from services.arbitration.referrals.referral import (
    ADJUDICATED,
    GRAVE_SEVERITY,
    Disposition,
    authority_of_id,
    referral_id,
)
from services.common import rpc
from services.common.clock import Clock
from services.common.errors import DomainError, InvalidArgument, NotFound, out_of_range
from services.common.numbering import parse
from services.common.store import Store
from services.common.taxonomy import standard
from services.common.times import epoch_ms
from services.common.wire import check_batch, page_limit
from zhengming.arbitration.v1 import referral_pb2 as pb
from zhengming.arbitration.v1 import referral_pb2_grpc as pb_grpc

DEFAULT_DRAW, MOST_DRAWN = 1_000, 10_000
DEFAULT_PAGE, MAX_PAGE = 50, 5_000
MAX_FEEDBACK = 1_000
DEFAULT_HOLDERS, MAX_HOLDERS = 100, 1_000
MAX_ID = 64
YEAR_2000_MS = 946_684_800_000
DAY_MS = 86_400_000


class ReferralServicer(pb_grpc.ReferralServiceServicer):
    """Draws, lists, keeps feedback; the only writer of the referrals' tables."""

    def __init__(self, store: Store, cases: Cases, clock: Clock, secret: bytes) -> None:
        self._store, self._cases, self._clock, self._secret = store, cases, clock, secret
        self._writing = threading.Lock()

    def DrawReferrals(
        self, request: pb.DrawReferralsRequest, context: grpc.ServicerContext
    ) -> pb.Draw:
        """Draw, or show what was drawn."""
        name = requests.text(request.request_id, "request_id", MAX_ID)
        drawn_by = requests.text(request.drawn_by, "drawn_by", requests.MAX_NAME)
        limit = request.maximum_count or DEFAULT_DRAW
        if not 1 <= limit <= MOST_DRAWN:
            raise out_of_range("maximum_count", limit, f"1 to {MOST_DRAWN}")
        authorities = authority_of_id(standard.load())
        if request.authority:
            _check_authority(request.authority)
            authorities = {
                category: authority
                for category, authority in authorities.items()
                if authority == request.authority
            }
        with self._writing:
            done = queries.draw(self._store, name)
            if done is None:
                # Rows without the draw's record are those of a draw that a stop cut short.
                left = limit - sum(count for _, count in queries.drawn_counts(self._store, name))
                if left > 0 and authorities:
                    self._draw(name, drawn_by, authorities, left)
                queries.insert_draw(self._store, name, drawn_by, self._clock())
                done = queries.draw(self._store, name)
                assert done is not None
            counts = queries.drawn_counts(self._store, name)
        message = pb.Draw(request_id=name, drawn_by=done[0])
        message.draw_time.FromMilliseconds(done[1])
        for authority, count in counts:
            message.counts.add(
                authority=authority,
                authority_en=wire.english(authority),
                referral_count=count,
                open_count=count,
            )
        return message

    def _draw(
        self, request_id: str, drawn_by: str, authorities: Mapping[int, str], limit: int
    ) -> None:
        found = queries.candidates(self._store, list(authorities), limit)
        if not found.num_rows:
            return
        columns = {name.removesuffix("_now"): found[name].to_numpy() for name in found.column_names}
        columns["version"] = columns.pop("last_version")
        columns["adjudicated"] = (columns.pop("state") == ADJUDICATED).astype(np.uint8)
        keys = zip(
            columns["number"].tolist(),
            columns["epoch"].tolist(),
            columns["category"].tolist(),
            strict=True,
        )
        count = found.num_rows
        # Into the audit first: a referral that is not in it must not be.
        self._cases.record(
            Step(
                Kind.REFERRED,
                Role.REVIEWER,
                drawn_by,
                text=f"draw {request_id}",
                details={"referral_count": count},
            )
        )
        queries.insert_referrals(
            self._store,
            {
                **columns,
                "referral_id": [referral_id(self._secret, *key) for key in keys],
                "request_id": [request_id] * count,
                "authority": [authorities[c] for c in columns["category"].tolist()],
                "drawn_ms": np.full(count, self._clock(), dtype=np.int64),
            },
        )

    def ListReferrals(
        self, request: pb.ListReferralsRequest, context: grpc.ServicerContext
    ) -> pb.ListReferralsResponse:
        """Show a page."""
        reader = requests.text(request.reader, "reader", requests.MAX_NAME)
        filters: dict[str, Any] = {}
        if request.authority:
            filters["authority"] = request.authority
        if request.open_only:
            filters["open"] = True
        if request.number:
            filters["number"] = parse(request.number, "CN").key
        if request.request_id:
            filters["request_id"] = request.request_id
        if request.referral_id:
            filters["referral_id"] = request.referral_id
        after = wire.page_place(request.page_token)
        limit = page_limit(request.page_size, DEFAULT_PAGE, MAX_PAGE)
        rows, total = queries.page(self._store, filters, after, limit + 1)
        what = "export of referrals" if request.export else "referrals"
        self._cases.record_read(
            reader, f"{what} {request.authority}".strip(), filters.get("number", 0)
        )
        more, rows = len(rows) > limit, rows[:limit]
        answer = pb.ListReferralsResponse(
            referrals=[wire.referral(row) for row in rows],
            next_page_token=wire.page_token(rows[-1]) if more else "",
            total_count=total,
            counts=wire.counts(queries.disposition_counts(self._store, request.authority)),
        )
        if request.referral_id:
            for found in answer.referrals:
                given = queries.feedback_of(self._store, [found.referral_id])
                found.history.extend(wire.feedback(row) for row in given[found.referral_id])
        return answer

    def RecordFeedback(
        self, request: pb.RecordFeedbackRequest, context: grpc.ServicerContext
    ) -> pb.RecordFeedbackResponse:
        """Keep answers."""
        recorded_by = requests.text(request.recorded_by, "recorded_by", requests.MAX_NAME)
        check_batch(len(request.feedback), MAX_FEEDBACK, "feedback")
        names = list(dict.fromkeys(item.referral_id for item in request.feedback))
        with self._writing:
            known = queries.referred(self._store, names)
            given = queries.feedback_of(self._store, names)
            newest = max((r["recorded_ms"] for rows in given.values() for r in rows), default=0)
            now_ms = max(self._clock(), newest + 1)
            new: list[dict[str, Any]] = []
            answer = pb.RecordFeedbackResponse()
            for item in request.feedback:
                try:
                    row = self._feedback(item, known, request.authority, now_ms + len(new))
                except DomainError as error:
                    answer.results.add(error=rpc.to_status_proto(error))
                    continue
                held = given[row["referral_id"]]
                if held and _same(held[-1], row):
                    row = held[-1]
                else:
                    row["recorded_by"] = recorded_by
                    held.append(row)
                    new.append(row)
                answer.results.add(feedback=wire.feedback(row))
            if new:
                self._cases.record(
                    Step(
                        Kind.REFERRAL_ANSWERED,
                        Role.REVIEWER,
                        recorded_by,
                        details={
                            "answers": [
                                [row["referral_id"], Disposition(row["disposition"]).name]
                                for row in new
                            ]
                        },
                    )
                )
                queries.insert_feedback(self._store, new)
        return answer

    def _feedback(
        self,
        item: pb.Feedback,
        known: dict[str, tuple[int, str]],
        authority: str,
        recorded_ms: int,
    ) -> dict[str, Any]:
        name = requests.text(item.referral_id, "referral_id", MAX_ID)
        disposition = requests.choice(Disposition, item.disposition, "disposition")
        text = requests.text(item.text, "text", requests.MAX_TEXT, required=False)
        if not item.HasField("dispose_time"):
            raise InvalidArgument(
                "FIELD_REQUIRED", "dispose_time is required", field="dispose_time"
            )
        disposed_ms = epoch_ms(item.dispose_time)
        if not YEAR_2000_MS <= disposed_ms <= self._clock() + DAY_MS:
            raise InvalidArgument(
                "TIME_INVALID",
                "dispose_time must lie after 2000 and not in the future",
                field="dispose_time",
                value=disposed_ms,
            )
        number, in_charge = known.get(name, (0, ""))
        if not number or authority not in ("", in_charge):
            raise NotFound("REFERRAL_NOT_FOUND", f"no referral {name[:20]!r}", referral=name[:20])
        return {
            "referral_id": name,
            "number": number,
            "disposition": int(disposition),
            "disposed_ms": disposed_ms,
            "text": text,
            "recorded_ms": recorded_ms,
        }

    def ListOffendingHolders(
        self, request: pb.ListOffendingHoldersRequest, context: grpc.ServicerContext
    ) -> pb.ListOffendingHoldersResponse:
        """Show enterprises."""
        reader = requests.text(request.reader, "reader", requests.MAX_NAME)
        floor = request.minimum_count or FLOOR
        if not 2 <= floor <= 1_000_000:
            raise out_of_range("minimum_count", floor, "2 to 1,000,000")
        limit = request.maximum_count or DEFAULT_HOLDERS
        if not 1 <= limit <= MAX_HOLDERS:
            raise out_of_range("maximum_count", limit, f"1 to {MAX_HOLDERS}")
        now_ms = self._clock()
        registered = queries.enterprise_registrations(self._store, now_ms)
        numbers = registered["number"].to_pylist()
        # Whose number is not its own but of a prefix is found among all that offend.
        among = numbers if all(numbers) else None
        found = offending_holders(
            rows_of(registered), offending_numbers(self._store, now_ms + 1, among), floor
        )
        what = "export of offending holders" if request.export else "offending holders"
        self._cases.record_read(reader, what)
        return pb.ListOffendingHoldersResponse(holders=[wire.holder(h) for h in found[:limit]])


def offending_numbers(
    store: Store, until_ms: int, among: Sequence[int] | None = None
) -> list[tuple[int, int, bool]]:
    """Number, class of axis A (0: by a signal alone), and whether referred, of what offends; only
    of the numbers `among`, if given.

    A registered number is protected from the crowd, so that mostly decisions and signals speak.
    """
    std = standard.load()
    groups = {c.id: int(c.group[1:]) for c in std.categories if c.is_nuisance}
    labelled = [
        (number, groups[category], bool(is_referred))
        for number, category, is_referred in rows_of(
            queries.offending(store, list(groups), until_ms, among)
        )
    ]
    grave = [b.code for b in std.behaviours if (b.severity or 0) >= GRAVE_SEVERITY]
    known = {number for number, _, _ in labelled}
    signalled = queries.signalled(store, grave, until_ms, among)
    return labelled + [(number, 0, False) for number in signalled if number not in known]


def rows_of(table: Any) -> Iterable[Any]:
    """Rows of a table as tuples."""
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[name] == other[name] for name in ("disposition", "disposed_ms", "text"))


def _check_authority(name: str) -> None:
    known = standard.load().authorities
    if name not in known:
        raise out_of_range("authority", name[:40], ", ".join(known))


def register(server: grpc.Server, servicer: ReferralServicer) -> None:
    """Add the service to a server."""
    pb_grpc.add_ReferralServiceServicer_to_server(servicer, server)

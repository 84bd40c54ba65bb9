"""DisputeService over gRPC: wire types in, one call a step, messages out."""

import base64
import hashlib
import logging
import threading
from collections.abc import Callable

import grpc

from services.arbitration.disputes import checks, papers, queries, requests, steps, wire
from services.arbitration.disputes.case_files import CaseFiles
from services.arbitration.disputes.cases import Cases
from services.arbitration.disputes.dispute import Dispute
from services.arbitration.disputes.events import Event, Step
from services.arbitration.disputes.words import Paper, Stance
from services.arbitration.engine import Engine
from services.common import rpc
from services.common.clock import Clock
from services.common.errors import DomainError, NotFound, out_of_range
from services.common.numbering import Number, from_key, parse
from services.common.store import Store
from services.common.wire import check_batch, page_limit
from zhengming.arbitration.v1 import arbitration_pb2_grpc, dispute_pb2_grpc
from zhengming.arbitration.v1 import dispute_pb2 as pb

log = logging.getLogger(__name__)

MAX_FILINGS = 2_000
MAX_PAGE = 500
DEFAULT_PAGE = 50
MESSAGES = 200
DAY_MS = 86_400_000
SWEEP_S = 60.0

Command = Callable[[Dispute, int], list[Step]]


class DisputeServicer(dispute_pb2_grpc.DisputeServiceServicer):
    """Checks what is asked, lets `Cases` do it."""

    def __init__(
        self,
        store: Store,
        cases: Cases,
        engine: Engine,
        arbitration: arbitration_pb2_grpc.ArbitrationServiceServicer,
        clock: Clock,
    ) -> None:
        self._store, self._cases, self._clock = store, cases, clock
        self._case_files = CaseFiles(store, cases, engine, arbitration)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Finish what a stop left half done, then let time pass, in a thread of its own."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._sweep, name="disputes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop letting time pass."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _sweep(self) -> None:
        work: Callable[[], object] = self._cases.recover
        while not self._stopping.is_set():
            try:
                work()
                work = self._cases.sweep
            except Exception:  # the thread outlives whatever the store or a peer brings
                log.warning("disputes wait, trying again", exc_info=True)
            self._stopping.wait(0.0 if work == self._cases.recover else SWEEP_S)

    # ---- the applicant ------------------------------------------------------------------------

    def FileDispute(
        self, request: pb.FileDisputeRequest, context: grpc.ServicerContext
    ) -> pb.FiledDispute:
        """File one."""
        answer = self._cases.file([requests.filing(request)])[0]
        if isinstance(answer, DomainError):
            raise answer
        return self._filed(answer)

    def BatchFileDisputes(
        self, request: pb.BatchFileDisputesRequest, context: grpc.ServicerContext
    ) -> pb.BatchFileDisputesResponse:
        """File many, each answered in its place."""
        check_batch(len(request.disputes), MAX_FILINGS, "disputes")
        results: list[pb.FileDisputeResult] = [pb.FileDisputeResult() for _ in request.disputes]
        good: list[tuple[int, tuple[Number, steps.Filing]]] = []
        for at, item in enumerate(request.disputes):
            try:
                good.append((at, requests.filing(item)))
            except DomainError as error:
                results[at].error.CopyFrom(rpc.to_status_proto(error))
        answers = self._cases.file([filing for _, filing in good]) if good else []
        for (at, _), answer in zip(good, answers, strict=True):
            if isinstance(answer, DomainError):
                results[at].error.CopyFrom(rpc.to_status_proto(answer))
            else:
                results[at].filed.CopyFrom(self._filed(answer))
        return pb.BatchFileDisputesResponse(results=results)

    def SendOwnershipCode(
        self, request: pb.SendOwnershipCodeRequest, context: grpc.ServicerContext
    ) -> pb.Dispute:
        """Send a code."""
        return self._message(
            self._cases.send_code(self._cases.dispute_of_case(request.case_number))
        )

    def ProveOwnership(
        self, request: pb.ProveOwnershipRequest, context: grpc.ServicerContext
    ) -> pb.Dispute:
        """Check the code."""
        dispute_id = self._cases.dispute_of_case(request.case_number)
        code = requests.text(request.code.strip(), "code", 12)
        digest = self._cases.code_digest(dispute_id, code)
        return self._message(
            self._cases.act(dispute_id, lambda d, now: steps.prove(d, digest, self._facts(d), now))
        )

    def AddEvidence(
        self, request: pb.AddEvidenceRequest, context: grpc.ServicerContext
    ) -> pb.Dispute:
        """Take a paper."""
        dispute_id = self._cases.dispute_of_case(request.case_number)
        kind = requests.choice(Paper, request.kind, "kind")
        text = requests.text(request.text, "text", requests.MAX_TEXT, required=not request.content)
        sha256 = media_type = ""
        if request.content:
            media_type = papers.media_type(request.content)
            if len(request.content) > papers.MAX_BYTES or media_type != request.media_type:
                raise out_of_range(
                    "content",
                    f"{len(request.content)} bytes {media_type or 'of another type'}",
                    "a PNG, JPEG or PDF of at most 2 MiB, as media_type says",
                )
            sha256 = hashlib.sha256(request.content).hexdigest()
        dispute = self._act(
            dispute_id, lambda d, _: [steps.add_paper(d, kind, text, media_type, sha256)]
        )
        if request.content:
            content = base64.b64encode(request.content).decode()
            at = len(dispute.papers)
            queries.insert_content(self._store, dispute_id, at, content, self._clock())
        return self._message(dispute)

    def AppealDispute(
        self, request: pb.AppealDisputeRequest, context: grpc.ServicerContext
    ) -> pb.Dispute:
        """Appeal."""
        dispute_id = self._cases.dispute_of_case(request.case_number)
        statement = requests.text(request.statement, "statement", requests.MAX_TEXT)
        return self._message(self._act(dispute_id, lambda d, now: steps.appeal(d, statement, now)))

    def WithdrawDispute(
        self, request: pb.WithdrawDisputeRequest, context: grpc.ServicerContext
    ) -> pb.Dispute:
        """Take it back."""
        dispute_id = self._cases.dispute_of_case(request.case_number)
        return self._message(self._act(dispute_id, lambda d, _: steps.withdraw(d)))

    # ---- reviewers and sources ----------------------------------------------------------------

    def ConfirmOwnership(
        self, request: pb.ConfirmOwnershipRequest, context: grpc.ServicerContext
    ) -> pb.Dispute:
        """Accept papers as proof."""
        reviewer = requests.text(request.reviewer, "reviewer", requests.MAX_NAME)
        text = requests.text(request.text, "text", requests.MAX_TEXT)
        return self._message(
            self._act(
                request.dispute_id,
                lambda d, _: steps.confirm(d, reviewer, text, self._facts(d)),
            )
        )

    def RequestEvidence(
        self, request: pb.RequestEvidenceRequest, context: grpc.ServicerContext
    ) -> pb.Dispute:
        """Ask for papers."""
        reviewer = requests.text(request.reviewer, "reviewer", requests.MAX_NAME)
        text = requests.text(request.text, "text", requests.MAX_TEXT)
        return self._message(
            self._act(request.dispute_id, lambda d, _: steps.request_papers(d, reviewer, text))
        )

    def AnswerAsSource(
        self, request: pb.AnswerAsSourceRequest, context: grpc.ServicerContext
    ) -> pb.Dispute:
        """Take a source's answer."""
        source = requests.text(request.source, "source", requests.MAX_NAME)
        stance = requests.choice(Stance, request.stance, "stance")
        text = requests.text(
            request.text, "text", requests.MAX_TEXT, required=stance is Stance.MAINTAINED
        )
        return self._message(
            self._act(request.dispute_id, lambda d, _: steps.answer(d, source, stance, text))
        )

    def SubmitOpinion(
        self, request: pb.SubmitOpinionRequest, context: grpc.ServicerContext
    ) -> pb.Dispute:
        """Take an opinion."""
        reviewer = requests.text(request.reviewer, "reviewer", requests.MAX_NAME)
        view = requests.view(request.opinion, "opinion")
        return self._message(
            self._act(
                request.dispute_id, lambda d, _: steps.opine(d, reviewer, view, self._facts(d))
            )
        )

    def DecideDispute(
        self, request: pb.DecideDisputeRequest, context: grpc.ServicerContext
    ) -> pb.Dispute:
        """Take a decision."""
        reviewer = requests.text(request.reviewer, "reviewer", requests.MAX_NAME)
        view = requests.view(request.decision, "decision")
        return self._message(
            self._act(
                request.dispute_id, lambda d, _: steps.decide(d, reviewer, view, self._facts(d))
            )
        )

    # ---- reading ------------------------------------------------------------------------------

    def GetDispute(
        self, request: pb.GetDisputeRequest, context: grpc.ServicerContext
    ) -> pb.Dispute:
        """Show one."""
        dispute, _ = self._read(request, "dispute")
        message = self._message(dispute)
        if request.case_number:  # applicants are not told who reviews
            del message.engaged_reviewers[:]
        return message

    def ListDisputes(
        self, request: pb.ListDisputesRequest, context: grpc.ServicerContext
    ) -> pb.ListDisputesResponse:
        """Show a page."""
        reader = requests.text(request.reader, "reader", requests.MAX_NAME)
        filters: dict[str, object] = {}
        if request.states:
            filters["states"] = tuple(int(state) for state in request.states)
        if request.number:
            filters["number"] = parse(request.number, "CN").key
        if request.source:
            filters["source"] = request.source
        if request.ground:
            filters["ground"] = int(request.ground)
        if request.double_review_only:
            filters["double_review"] = 1
        now_ms = self._clock()
        if request.overdue_only:
            filters["overdue_at"] = now_ms
        after = requests.page_token(request.page_token)
        limit = page_limit(request.page_size, DEFAULT_PAGE, MAX_PAGE)
        ids, ranks, total = queries.page(self._store, filters, after, limit + 1)
        self._cases.record_read(reader, "list of disputes", filters.get("number", 0))  # type: ignore[arg-type]
        more = len(ids) > limit
        return pb.ListDisputesResponse(
            disputes=[
                wire.to_message(dispute, now_ms, brief=True)
                for dispute in self._cases.many(ids[:limit])
            ],
            next_page_token=f"{ranks[limit - 1]}:{ids[limit - 1]}" if more else "",
            total_count=total,
        )

    def ListDisputeEvents(
        self, request: pb.ListDisputeEventsRequest, context: grpc.ServicerContext
    ) -> pb.ListDisputeEventsResponse:
        """Show the events of one."""
        dispute, events = self._read(request, "events")
        if request.case_number:
            return pb.ListDisputeEventsResponse(events=wire.for_applicant(events))
        return pb.ListDisputeEventsResponse(events=wire.visible(events, dispute, request.reader))

    def GetEvidence(
        self, request: pb.GetEvidenceRequest, context: grpc.ServicerContext
    ) -> pb.EvidencePaper:
        """Show a paper."""
        reader = requests.text(request.reader, "reader", requests.MAX_NAME)
        dispute = self._cases.get(request.dispute_id)
        message = wire.to_message(dispute, self._clock())
        for item in message.evidence:
            if item.evidence_id == request.evidence_id:
                self._cases.record_read(
                    reader, f"paper {item.evidence_id}", dispute.number, dispute.dispute_id
                )
                kept = queries.content(self._store, dispute.dispute_id, int(request.evidence_id))
                if item.sha256 and kept is None:
                    break
                item.content = base64.b64decode(kept or "")
                return item
        raise NotFound(
            "EVIDENCE_NOT_FOUND", "no such paper, or it is no longer kept",
            evidence=request.evidence_id[:20],
        )  # fmt: skip

    def GetCaseFile(
        self, request: pb.GetCaseFileRequest, context: grpc.ServicerContext
    ) -> pb.CaseFile:
        """Show what is known of a number."""
        reader = requests.text(request.reader, "reader", requests.MAX_NAME)
        number = parse(request.number, "CN")
        message = self._case_files.read(number, request.dispute_id, self._clock(), context)
        self._cases.record_read(reader, "case file", number.key, request.dispute_id)
        return message

    def ListSourceOutcomes(
        self, request: pb.ListSourceOutcomesRequest, context: grpc.ServicerContext
    ) -> pb.ListSourceOutcomesResponse:
        """Show how disputes ended, by source."""
        answer = pb.ListSourceOutcomesResponse()
        for row in queries.source_outcomes(self._store, request.source):
            answer.outcomes.add(
                source=row["source"],
                decided_count=row["decided"],
                right_count=row["decided"] - row["overturned"],
                overturned_count=row["overturned"],
                asked_count=row["asked"],
                answered_count=row["answered"],
            )
        return answer

    def ListOutboxMessages(
        self, request: pb.ListOutboxMessagesRequest, context: grpc.ServicerContext
    ) -> pb.ListOutboxMessagesResponse:
        """Show what has to be sent."""
        self._cases.record_read(
            requests.text(request.reader, "reader", requests.MAX_NAME), "outbox"
        )
        answer = pb.ListOutboxMessagesResponse()
        for row in queries.messages(self._store, self._clock() - DAY_MS, MESSAGES):
            item = answer.messages.add(number=from_key(row["number"]).number, text=row["text"])
            item.write_time.FromMilliseconds(row["written_ms"])
        return answer

    def RecordAccess(
        self, request: pb.RecordAccessRequest, context: grpc.ServicerContext
    ) -> pb.RecordAccessResponse:
        """Record a read."""
        number = parse(request.number, "CN").key if request.number else 0
        reader = requests.text(request.reader, "reader", requests.MAX_NAME)
        self._cases.record_read(reader, requests.text(request.what, "what", 200), number)
        return pb.RecordAccessResponse()

    def VerifyAudit(
        self, request: pb.VerifyAuditRequest, context: grpc.ServicerContext
    ) -> pb.VerifyAuditResponse:
        """Prove the chain."""
        proof = self._cases.verify(request.known_hash)
        return pb.VerifyAuditResponse(
            event_count=proof.event_count,
            intact=not proof.fault,
            broken_seq=proof.broken_seq,
            fault=proof.fault,
            head_hash=proof.head_hash,
        )

    def _act(self, dispute_id: str, command: Command) -> Dispute:
        return self._cases.act(dispute_id, lambda d, now: (command(d, now), None))

    def _facts(self, dispute: Dispute) -> checks.Facts:
        return self._cases.facts([dispute.number])[dispute.number]

    def _message(self, dispute: Dispute) -> pb.Dispute:
        return wire.to_message(dispute, self._clock())

    def _filed(self, dispute: Dispute) -> pb.FiledDispute:
        return pb.FiledDispute(
            dispute=self._message(dispute),
            case_number=self._cases.case_number(dispute.dispute_id),
        )

    def _read(
        self, request: pb.GetDisputeRequest | pb.ListDisputeEventsRequest, what: str
    ) -> tuple[Dispute, list[Event]]:
        """The dispute that a request names, and its events; a read by staff is recorded."""
        if request.case_number:
            return self._cases.history(self._cases.dispute_of_case(request.case_number))
        reader = requests.text(request.reader, "reader", requests.MAX_NAME)
        dispute, events = self._cases.history(request.dispute_id)
        self._cases.record_read(reader, what, dispute.number, dispute.dispute_id)
        return dispute, events


def register(server: grpc.Server, servicer: DisputeServicer) -> None:
    """Add the service to a server."""
    dispute_pb2_grpc.add_DisputeServiceServicer_to_server(servicer, server)

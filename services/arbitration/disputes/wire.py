"""Disputes, events and case files as their messages."""

from collections.abc import Sequence

from services.arbitration.disputes import papers
from services.arbitration.disputes.checks import Facts, Standing, prospects
from services.arbitration.disputes.dispute import Dispute
from services.arbitration.disputes.events import Event
from services.arbitration.disputes.words import REVIEWED, Kind, Role
from services.common.numbering import Number, from_key
from services.common.wire import category_code, category_id
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.arbitration.v1 import dispute_pb2 as pb


def to_message(dispute: Dispute, now_ms: int, *, brief: bool = False) -> pb.Dispute:
    """A dispute; brief: without papers, statement and reply."""
    number = from_key(dispute.number)
    view, deadline = dispute.view, dispute.deadline_ms()
    message = pb.Dispute(
        dispute_id=dispute.dispute_id,
        number=number.number,
        state=int(dispute.state),  # type: ignore[arg-type] # enum values are ints on the wire
        applicant_kind=int(dispute.applicant),  # type: ignore[arg-type]
        applicant_name=dispute.name,
        ground=int(dispute.ground),  # type: ignore[arg-type]
        ownership=int(dispute.proof),  # type: ignore[arg-type]
        contested_category=category_code(dispute.contested),
        double_review=dispute.double_review,
        used_days=dispute.used_days(now_ms),
        paused=bool(dispute.paused_ms),
        overdue=0 < deadline <= now_ms,
        sources=dispute.sources,
        pending_sources=dispute.pending,
        opinion_count=len(dispute.opinions),
        round=dispute.round,
        seq=dispute.seq,
        engaged_reviewers=sorted(dispute.engaged | dispute.reviewers),
    )
    message.file_time.FromMilliseconds(dispute.filed_ms)
    if deadline:
        message.deadline_time.FromMilliseconds(deadline)
    if view is not None:
        message.outcome = int(view.outcome)  # type: ignore[assignment]
        message.decision_reason = int(view.reason)  # type: ignore[assignment]
        message.decide_time.FromMilliseconds(dispute.decided_ms)
        if dispute.decided_category >= 0:
            message.decided_category = category_code(dispute.decided_category) or "CLEARED"
    if dispute.appeal_until_ms():
        message.appeal_until_time.FromMilliseconds(dispute.appeal_until_ms())
    if not brief:
        _add_texts(message, dispute, number)
    return message


def _add_texts(message: pb.Dispute, dispute: Dispute, number: Number) -> None:
    message.statement = dispute.statement
    message.reply_text = dispute.view.text if dispute.view else ""
    needed = papers.required(dispute.applicant, dispute.ground, number.kind)
    message.required_evidence.extend(int(paper) for paper in needed)  # type: ignore[misc]
    for at, paper in enumerate(dispute.papers, 1):
        item = message.evidence.add(
            evidence_id=str(at),
            kind=int(paper.kind),
            text=paper.text,
            media_type=paper.media_type,
            sha256=paper.sha256,
        )
        item.add_time.FromMilliseconds(paper.added_ms)


def event_message(event: Event, *, hidden: bool = False, named: bool = True) -> pb.DisputeEvent:
    """An event; hidden: what it says is left out; not named: as the applicant may see it."""
    message = pb.DisputeEvent(
        seq=event.seq,
        dispute_id=event.dispute_id,
        kind=event.kind,  # type: ignore[arg-type]
        role=event.role,  # type: ignore[arg-type]
        hash=event.hash,
        previous_hash=event.previous_hash,
        hidden=hidden,
    )
    message.occur_time.FromMilliseconds(event.occurred_ms)
    if not hidden:
        message.reason, message.text = event.reason, event.text
    if named:
        message.actor = event.actor
        message.details_json = "{}" if hidden else event.details
    elif event.role == Role.SOURCE:
        message.actor = event.actor
    return message


def visible(events: Sequence[Event], dispute: Dispute, reader: str) -> list[pb.DisputeEvent]:
    """Events for staff: opinions of a round under way are hidden from who may still be blind.

    Shown are one's own, and all once one has given one's own or two are in: the third settles
    between them.
    """
    blind = (
        dispute.state in REVIEWED and reader not in dispute.reviewers and len(dispute.opinions) < 2
    )
    given = len(dispute.opinions)
    opinions = [event.seq for event in events if event.kind == Kind.OPINION_GIVEN]
    open_round = set(opinions[len(opinions) - given :]) if given else set()
    return [
        event_message(event, hidden=blind and event.seq in open_round)
        for event in events
        if event.kind != Kind.READ
    ]


_NOT_FOR_APPLICANTS = frozenset({Kind.READ, Kind.OPINION_GIVEN, Kind.CHECKED})


def for_applicant(events: Sequence[Event]) -> list[pb.DisputeEvent]:
    """Events as the applicant sees them: no opinions, no names but those of sources."""
    return [
        event_message(e, named=False) for e in events if Kind(e.kind) not in _NOT_FOR_APPLICANTS
    ]


def facts_of(posterior: arbitration_pb2.Posterior, holder: str) -> Facts:
    """Facts from a posterior's message: its 20 strongest rows of evidence stand for all."""
    decided = posterior.decided_category
    cleared = decided == "CLEARED"
    return Facts(
        epoch_start_ms=posterior.epoch_start_time.ToMilliseconds(),
        mark_count=posterior.mark_count,
        former_mark_count=posterior.former_mark_count,
        distribution=tuple(
            (category_id(share.category), share.probability) for share in posterior.distribution
        ),
        standing=tuple(
            Standing(row.source, row.label, category_id(row.category), row.mark_count)
            for row in posterior.evidence
        ),
        decided=-1 if not decided else 0 if cleared else category_id(decided),
        holder=holder,
    )


def add_prospects(message: pb.CaseFile, facts: Facts) -> None:
    """What each outcome would change."""
    for prospect in prospects(facts):
        item = message.prospects.add(
            outcome=int(prospect.outcome),
            category=category_code(prospect.category),
            level=prospect.level,
            probability=prospect.probability,
        )
        for source, right, wrong in prospect.sources:
            item.sources.add(source=source, right_mark_count=right, wrong_mark_count=wrong)

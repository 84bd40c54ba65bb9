"""A dispute as the fold of its events. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from services.arbitration.disputes import working_days
from services.arbitration.disputes.events import Event
from services.arbitration.disputes.words import (
    OPEN,
    REVIEWED,
    Applicant,
    Ground,
    Kind,
    Outcome,
    Paper,
    Proof,
    Reason,
    Role,
    State,
)

DECIDE_DAYS = 15
"""Working days to a decision (App measures of 2019, 15 working days; china.md 7 and 3.3)."""

SOURCES_DAYS = 5
"""Working days for a source to answer (Teddy 3-5; china.md 3.2)."""

APPEAL_DAYS = 15
"""Working days in which a decision can be appealed."""

ANSWER_DAYS = 15
"""Working days that a clock waits for papers, or for proof of ownership."""


@dataclass(frozen=True)
class View:
    """How a reviewer, or the system, would end a dispute.

    Attributes:
        outcome: the end.
        category: id of the right category with RELABELLED, else 0.
        reason: why.
        text: for the applicant.
    """

    outcome: Outcome
    category: int
    reason: Reason
    text: str

    def same_end(self, other: "View") -> bool:
        """Whether both end it the same way, whatever they say."""
        return (self.outcome, self.category) == (other.outcome, other.category)


@dataclass(frozen=True)
class PaperGiven:
    """A paper without its content."""

    kind: Paper
    text: str
    media_type: str
    sha256: str
    added_ms: int


@dataclass(frozen=True)
class Dispute:
    """Where a dispute is; every attribute follows from its events.

    Attributes:
        contested: id of the category contested, 0 none.
        double_review: two reviewers must agree.
        sources, pending: names of the sources with marks; of those asked and silent.
        clock_ms: when the clock of this round began, 0 before.
        asked_ms: when the sources were asked, 0 before.
        pauses: (from, until) of past pauses; paused_ms: since when it is paused, 0 not.
        codes: times at which codes were sent; code_digest, code_failures: of the newest.
        opinions: (reviewer, view) of this round; engaged: reviewers of former rounds.
        round: 1, or 2 on appeal.
        view: the decision in force, None before.
        contested_from_ms, contested_until_ms: when the label is shown as disputed; 0 not (yet).
    """

    dispute_id: str
    number: int
    state: State
    applicant: Applicant
    name: str
    ground: Ground
    statement: str
    contested: int
    double_review: bool
    sources: tuple[str, ...]
    filed_ms: int
    seq: int
    proof: Proof = Proof.NONE
    pending: tuple[str, ...] = ()
    clock_ms: int = 0
    asked_ms: int = 0
    pauses: tuple[tuple[int, int], ...] = ()
    paused_ms: int = 0
    codes: tuple[int, ...] = ()
    code_digest: str = ""
    code_failures: int = 0
    papers: tuple[PaperGiven, ...] = ()
    opinions: tuple[tuple[str, View], ...] = ()
    engaged: frozenset[str] = frozenset()
    round: int = 1
    view: View | None = None
    decided_ms: int = 0
    closed_ms: int = 0
    contested_from_ms: int = 0
    contested_until_ms: int = 0

    @property
    def is_open(self) -> bool:
        """Something is still to be decided."""
        return self.state in OPEN

    @property
    def reviewers(self) -> frozenset[str]:
        """Who has given an opinion in this round."""
        return frozenset(name for name, _ in self.opinions)

    @property
    def decided_category(self) -> int:
        """What is decided: the category's id, 0 cleared, -1 nothing on the merits."""
        if self.view is None or self.view.outcome in (Outcome.REJECTED, Outcome.NONE):
            return -1
        if self.view.outcome is Outcome.CLEARED:
            return 0
        return self.view.category if self.view.outcome is Outcome.RELABELLED else self.contested

    def deadline_ms(self) -> int:
        """When it must be decided; 0 while no clock runs."""
        if not self.is_open or not self.clock_ms or self.paused_ms:
            return 0
        return working_days.deadline_ms(self.clock_ms, DECIDE_DAYS, self.pauses)

    def used_days(self, now_ms: int) -> int:
        """Working days used of DECIDE_DAYS."""
        if not self.clock_ms:
            return 0
        end_ms = now_ms if self.is_open else (self.closed_ms or self.decided_ms)
        pauses = (*self.pauses, (self.paused_ms, end_ms)) if self.paused_ms else self.pauses
        return working_days.used(self.clock_ms, end_ms, pauses)

    def appeal_until_ms(self) -> int:
        """Until when an appeal is possible; 0 not."""
        if self.state is not State.DECIDED or self.round != 1:
            return 0
        return working_days.deadline_ms(self.decided_ms, APPEAL_DAYS)


class BrokenHistory(Exception):
    """Events that no sequence of calls leaves behind."""


def fold(events: Iterable[Event]) -> Dispute | None:
    """The dispute that events, oldest first, lead to; None without any.

    Raises:
        BrokenHistory: an event does not follow from those before.
    """
    dispute = None
    for event in events:
        dispute = apply(dispute, event)
    return dispute


def apply(dispute: Dispute | None, event: Event) -> Dispute | None:
    """The dispute after one more event.

    Raises:
        BrokenHistory: the event cannot happen here.
    """
    kind, detail = Kind(event.kind), event.detail()
    if kind is Kind.READ:
        return dispute
    if dispute is None:
        if kind is not Kind.FILED:
            raise BrokenHistory(f"{kind.name} before FILED at seq {event.seq}")
        return _filed(event, detail)
    if dispute.state not in _FROM[kind]:
        raise BrokenHistory(f"{kind.name} in state {dispute.state.name} at seq {event.seq}")
    return replace(_APPLY[kind](dispute, event, detail), seq=event.seq)


def _filed(event: Event, detail: dict[str, Any]) -> Dispute:
    return Dispute(
        dispute_id=event.dispute_id,
        number=event.number,
        state=State.FILED,
        applicant=Applicant(detail["applicant_kind"]),
        name=detail["applicant_name"],
        ground=Ground[event.reason],
        statement=event.text,
        contested=detail["contested"],
        double_review=detail["double_review"],
        sources=tuple(detail["sources"]),
        filed_ms=event.occurred_ms,
        seq=event.seq,
    )


def _proven(dispute: Dispute, event: Event, detail: dict[str, Any]) -> Dispute:
    now = event.occurred_ms
    resumed = _unpaused(dispute, now)
    return replace(
        resumed,
        state=State.CHECKING,
        proof=Proof[event.reason],
        clock_ms=now,
        contested_from_ms=now,
        pauses=(),
    )


def _asked(dispute: Dispute, event: Event, detail: dict[str, Any]) -> Dispute:
    return replace(
        dispute,
        state=State.WITH_SOURCES,
        pending=tuple(detail["sources"]),
        asked_ms=event.occurred_ms,
    )


def _paper(dispute: Dispute, event: Event, detail: dict[str, Any]) -> Dispute:
    paper = PaperGiven(
        kind=Paper[event.reason],
        text=event.text,
        media_type=detail.get("media_type", ""),
        sha256=detail.get("sha256", ""),
        added_ms=event.occurred_ms,
    )
    return replace(_unpaused(dispute, event.occurred_ms), papers=(*dispute.papers, paper))


def _unpaused(dispute: Dispute, now_ms: int) -> Dispute:
    if not dispute.paused_ms:
        return dispute
    return replace(dispute, pauses=(*dispute.pauses, (dispute.paused_ms, now_ms)), paused_ms=0)


def view_of(event: Event, detail: dict[str, Any]) -> View:
    """The view that an opinion or a decision carries."""
    return View(
        Outcome[detail["outcome"]], int(detail["category"]), Reason[event.reason], event.text
    )


def _decided(dispute: Dispute, event: Event, detail: dict[str, Any]) -> Dispute:
    rests = dispute.round == 2 and Outcome[detail["outcome"]] is Outcome.REJECTED
    actor = {event.actor} if event.role == Role.REVIEWER and event.actor else set()
    return replace(
        _unpaused(dispute, event.occurred_ms),
        state=State.DECIDED,
        # An appeal that fails on form leaves the first decision as it is.
        view=dispute.view if rests else view_of(event, detail),
        decided_ms=event.occurred_ms,
        engaged=dispute.engaged | dispute.reviewers | actor,
        contested_until_ms=event.occurred_ms,
    )


def _appealed(dispute: Dispute, event: Event, detail: dict[str, Any]) -> Dispute:
    return replace(
        dispute,
        state=State.APPEALED,
        round=2,
        clock_ms=event.occurred_ms,
        pauses=(),
        opinions=(),
        contested_from_ms=event.occurred_ms,
        contested_until_ms=0,
    )


def _ended(dispute: Dispute, event: Event, detail: dict[str, Any]) -> Dispute:
    closed = event.kind == Kind.CLOSED or dispute.state is State.APPEALED
    return replace(
        dispute,
        state=State.CLOSED if closed else State.WITHDRAWN,
        closed_ms=event.occurred_ms,
        paused_ms=0,
        contested_until_ms=dispute.contested_until_ms
        or (event.occurred_ms if dispute.contested_from_ms else 0),
    )


_FROM: dict[Kind, frozenset[State]] = {
    Kind.FILED: frozenset(),
    Kind.ACKNOWLEDGED: frozenset({State.FILED}),
    Kind.CODE_SENT: frozenset({State.ACKNOWLEDGED}),
    Kind.CODE_REFUSED: frozenset({State.ACKNOWLEDGED}),
    Kind.OWNERSHIP_PROVEN: frozenset({State.ACKNOWLEDGED}),
    Kind.CHECKED: frozenset({State.CHECKING}),
    Kind.SOURCES_ASKED: frozenset({State.CHECKING}),
    Kind.SOURCE_ANSWERED: frozenset({State.WITH_SOURCES}),
    Kind.REVIEW_OPENED: frozenset({State.CHECKING, State.WITH_SOURCES}),
    Kind.EVIDENCE_ADDED: OPEN - {State.FILED, State.CHECKING},
    Kind.EVIDENCE_REQUESTED: OPEN - {State.FILED, State.CHECKING},
    Kind.RESUMED: OPEN - {State.FILED, State.CHECKING},
    Kind.OPINION_GIVEN: REVIEWED,
    Kind.DECIDED: REVIEWED | {State.CHECKING},
    Kind.APPEALED: frozenset({State.DECIDED}),
    Kind.WITHDRAWN: OPEN - {State.FILED, State.CHECKING},
    Kind.CLOSED: frozenset({State.DECIDED}),
}

_Application = Callable[[Dispute, Event, dict[str, Any]], Dispute]

_APPLY: dict[Kind, _Application] = {
    Kind.ACKNOWLEDGED: lambda d, e, _: replace(d, state=State.ACKNOWLEDGED),
    Kind.CODE_SENT: lambda d, e, detail: replace(
        d, codes=(*d.codes, e.occurred_ms), code_digest=detail["digest"], code_failures=0
    ),
    Kind.CODE_REFUSED: lambda d, e, _: replace(d, code_failures=d.code_failures + 1),
    Kind.OWNERSHIP_PROVEN: _proven,
    Kind.CHECKED: lambda d, e, _: d,
    Kind.SOURCES_ASKED: _asked,
    Kind.SOURCE_ANSWERED: lambda d, e, _: replace(
        d, pending=tuple(name for name in d.pending if name != e.actor)
    ),
    Kind.REVIEW_OPENED: lambda d, e, _: replace(d, state=State.IN_REVIEW, pending=()),
    Kind.EVIDENCE_ADDED: _paper,
    Kind.EVIDENCE_REQUESTED: lambda d, e, _: replace(
        _unpaused(d, e.occurred_ms), paused_ms=e.occurred_ms
    ),
    Kind.RESUMED: lambda d, e, _: _unpaused(d, e.occurred_ms),
    Kind.OPINION_GIVEN: lambda d, e, detail: replace(
        d, opinions=(*d.opinions, (e.actor, view_of(e, detail)))
    ),
    Kind.DECIDED: _decided,
    Kind.APPEALED: _appealed,
    Kind.WITHDRAWN: _ended,
    Kind.CLOSED: _ended,
}

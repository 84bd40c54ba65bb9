"""What each call makes of a dispute: the steps that follow, or why none do. Pure."""

import hmac
from dataclasses import dataclass

from services.arbitration.disputes import checks, working_days
from services.arbitration.disputes.checks import Facts
from services.arbitration.disputes.dispute import (
    ANSWER_DAYS,
    SOURCES_DAYS,
    Dispute,
    View,
)
from services.arbitration.disputes.events import Step
from services.arbitration.disputes.words import (
    OPEN,
    REVIEWED,
    Applicant,
    Ground,
    Kind,
    Outcome,
    Paper,
    Proof,
    Role,
    Stance,
    State,
)
from services.common.errors import (
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    out_of_range,
)

DAY_MS = 86_400_000
CODE_MS = 10 * 60_000
"""How long a code holds."""
CODES_A_DAY = 3
CODE_ATTEMPTS = 5
MAX_PAPERS = 20
UNPROVEN_HOLD_MS = DAY_MS
"""How long a filing nobody has proven ownership for keeps others from filing."""

_AFTER_PROOF = OPEN - {State.FILED, State.CHECKING, State.ACKNOWLEDGED}


@dataclass(frozen=True)
class Filing:
    """What an applicant files."""

    applicant: Applicant
    name: str
    ground: Ground
    statement: str
    filer: str
    request_id: str


def require(dispute: Dispute, states: frozenset[State]) -> None:
    """Accept a dispute in one of the states.

    Raises:
        FailedPrecondition: DISPUTE_STATE_INVALID.
    """
    if dispute.state not in states:
        expected = ", ".join(state.name for state in sorted(states))
        raise FailedPrecondition(
            "DISPUTE_STATE_INVALID",
            f"the dispute is {dispute.state.name}; this needs {expected}",
            dispute=dispute.dispute_id,
            state=dispute.state.name,
            expected=expected,
        )


def file(filing: Filing, facts: Facts) -> list[Step]:
    """Take a filing in and acknowledge it."""
    return [
        Step(
            Kind.FILED,
            Role.APPLICANT,
            reason=filing.ground.name,
            text=filing.statement,
            details={
                "applicant_kind": int(filing.applicant),
                "applicant_name": filing.name,
                "contested": facts.contested,
                "double_review": facts.is_grave,
                "sources": list(facts.sources),
                "filer": filing.filer,
            },
        ),
        Step(Kind.ACKNOWLEDGED),
    ]


def gives_way(dispute: Dispute, now_ms: int) -> bool:
    """Whether an open dispute lets another of the same number in: unproven for a day."""
    return dispute.state is State.ACKNOWLEDGED and now_ms - dispute.filed_ms >= UNPROVEN_HOLD_MS


def supersede() -> list[Step]:
    """End a dispute that gave way."""
    return [Step(Kind.WITHDRAWN, reason="SUPERSEDED")]


def send_code(dispute: Dispute, digest: str, now_ms: int) -> list[Step]:
    """Send a code whose digest is given.

    Raises:
        FailedPrecondition: DISPUTE_STATE_INVALID.
        ResourceExhausted: OWNERSHIP_CODE_LIMIT.
    """
    require(dispute, frozenset({State.ACKNOWLEDGED}))
    if sum(now_ms - sent < DAY_MS for sent in dispute.codes) >= CODES_A_DAY:
        raise ResourceExhausted(
            "OWNERSHIP_CODE_LIMIT",
            f"{CODES_A_DAY} codes were sent within a day; try again tomorrow",
            maximum=CODES_A_DAY,
        )
    return [Step(Kind.CODE_SENT, details={"digest": digest})]


def prove(
    dispute: Dispute, digest: str, facts: Facts, now_ms: int
) -> tuple[list[Step], DomainError | None]:
    """Check a code by its digest.

    Returns:
        The steps, and the error to answer with besides: a wrong code leaves a step as well.

    Raises:
        FailedPrecondition: DISPUTE_STATE_INVALID.
        InvalidArgument: OWNERSHIP_CODE_WRONG, where no code holds.
    """
    require(dispute, frozenset({State.ACKNOWLEDGED}))
    sent_ms = dispute.codes[-1] if dispute.codes else 0
    left = CODE_ATTEMPTS - dispute.code_failures
    if not sent_ms or now_ms - sent_ms > CODE_MS or left <= 0:
        raise _wrong_code(0)
    if not hmac.compare_digest(digest, dispute.code_digest):
        return [Step(Kind.CODE_REFUSED, Role.APPLICANT)], _wrong_code(left - 1)
    return _established(dispute, Step(Kind.OWNERSHIP_PROVEN, reason=Proof.CODE.name), facts), None


def _wrong_code(left: int) -> InvalidArgument:
    return InvalidArgument(
        "OWNERSHIP_CODE_WRONG",
        f"code is wrong or no longer holds; {left} attempts left",
        field="code",
        attempts_left=left,
    )


def confirm(dispute: Dispute, reviewer: str, text: str, facts: Facts) -> list[Step]:
    """Accept papers as proof.

    Raises:
        FailedPrecondition: DISPUTE_STATE_INVALID.
    """
    require(dispute, frozenset({State.ACKNOWLEDGED}))
    step = Step(Kind.OWNERSHIP_PROVEN, Role.REVIEWER, reviewer, Proof.PAPERS.name, text)
    return _established(dispute, step, facts)


def _established(dispute: Dispute, proven: Step, facts: Facts) -> list[Step]:
    view = checks.automatic(dispute.ground, facts)
    checked = Step(
        Kind.CHECKED,
        reason="COMPLETE" if view else "OPEN",
        details={
            "mark_count": facts.mark_count,
            "former_mark_count": facts.former_mark_count,
            "epoch_start_ms": facts.epoch_start_ms,
            "registered": bool(facts.holder),
        },
    )
    if view is not None:
        return [proven, checked, decided(view, Role.SYSTEM, "", dispute, facts)]
    if facts.sources:
        asked = Step(Kind.SOURCES_ASKED, details={"sources": list(facts.sources)})
        return [proven, checked, asked]
    return [proven, checked, Step(Kind.REVIEW_OPENED, reason="NO_SOURCES")]


def add_paper(dispute: Dispute, paper: Paper, text: str, media_type: str, sha256: str) -> Step:
    """Add a paper.

    Raises:
        FailedPrecondition: DISPUTE_STATE_INVALID.
        ResourceExhausted: EVIDENCE_LIMIT.
    """
    require(dispute, _AFTER_PROOF | {State.ACKNOWLEDGED})
    if len(dispute.papers) >= MAX_PAPERS:
        raise ResourceExhausted(
            "EVIDENCE_LIMIT", f"a dispute takes {MAX_PAPERS} papers", maximum=MAX_PAPERS
        )
    details = {"media_type": media_type, "sha256": sha256} if sha256 else {}
    return Step(Kind.EVIDENCE_ADDED, Role.APPLICANT, reason=paper.name, text=text, details=details)


def request_papers(dispute: Dispute, reviewer: str, text: str) -> list[Step]:
    """Ask for papers.

    Raises:
        FailedPrecondition: DISPUTE_STATE_INVALID.
    """
    require(dispute, _AFTER_PROOF | {State.ACKNOWLEDGED})
    return [Step(Kind.EVIDENCE_REQUESTED, Role.REVIEWER, reviewer, text=text)]


def answer(dispute: Dispute, source: str, stance: Stance, text: str) -> list[Step]:
    """Take a source's answer; the last one opens the review.

    Raises:
        FailedPrecondition: DISPUTE_STATE_INVALID or SOURCE_NOT_ASKED.
    """
    require(dispute, frozenset({State.WITH_SOURCES}))
    if source not in dispute.pending:
        raise FailedPrecondition(
            "SOURCE_NOT_ASKED",
            f"source {source!r} was not asked, or has answered",
            source=source,
        )
    steps = [Step(Kind.SOURCE_ANSWERED, Role.SOURCE, source, stance.name, text)]
    if dispute.pending == (source,):
        steps.append(Step(Kind.REVIEW_OPENED, reason="ALL_ANSWERED"))
    return steps


def opine(dispute: Dispute, reviewer: str, view: View, facts: Facts) -> list[Step]:
    """Give an opinion; where it settles the dispute, decide.

    Raises:
        FailedPrecondition: DISPUTE_STATE_INVALID or REVIEWER_NOT_FREE.
        InvalidArgument: FIELD_OUT_OF_RANGE.
    """
    require(dispute, REVIEWED)
    _check_view(dispute, view)
    _check_reviewer(dispute, reviewer)
    steps = [
        Step(
            Kind.OPINION_GIVEN,
            Role.REVIEWER,
            reviewer,
            view.reason.name,
            view.text,
            {"outcome": view.outcome.name, "category": view.category},
        )
    ]
    settled = settle([*(v for _, v in dispute.opinions), view])
    if settled is not None:
        steps += _conclude(dispute, decided(settled, Role.REVIEWER, "", dispute, facts))
    return steps


def settle(views: list[View]) -> View | None:
    """What opinions, in the order given, decide: two that agree, else the third's own view."""
    for i, view in enumerate(views):
        if any(view.same_end(other) for other in views[:i]):
            return view
    return views[2] if len(views) >= 3 else None


def decide(dispute: Dispute, reviewer: str, view: View, facts: Facts) -> list[Step]:
    """Decide alone.

    Raises:
        FailedPrecondition: DISPUTE_STATE_INVALID, REVIEWER_NOT_FREE or SECOND_REVIEW_REQUIRED.
        InvalidArgument: FIELD_OUT_OF_RANGE.
    """
    require(dispute, REVIEWED)
    _check_view(dispute, view)
    _check_reviewer(dispute, reviewer)
    grave = dispute.double_review or facts.is_grave or checks.is_illegal(view.category)
    if grave or dispute.opinions:
        raise FailedPrecondition(
            "SECOND_REVIEW_REQUIRED",
            "the illegal class, and what others have given opinions on, is decided by two "
            "opinions; submit yours",
            dispute=dispute.dispute_id,
        )
    return _conclude(dispute, decided(view, Role.REVIEWER, reviewer, dispute, facts))


def decided(view: View, role: Role, actor: str, dispute: Dispute, facts: Facts) -> Step:
    """The step of a decision, with what it says of each source's standing marks."""
    category = {Outcome.CLEARED: 0, Outcome.UPHELD: dispute.contested}.get(
        view.outcome, view.category
    )
    tally = [] if view.outcome is Outcome.REJECTED else checks.tally(facts.standing, category)
    details = {
        "outcome": view.outcome.name,
        "category": view.category,
        "sources": [list(row) for row in tally],
    }
    return Step(Kind.DECIDED, role, actor, view.reason.name, view.text, details)


def _conclude(dispute: Dispute, decision: Step) -> list[Step]:
    if dispute.round == 1:
        return [decision]
    return [decision, Step(Kind.CLOSED, reason="APPEAL_DECIDED")]


def _check_view(dispute: Dispute, view: View) -> None:
    expected = ""
    if view.outcome is Outcome.NONE:
        expected = "UPHELD, RELABELLED, CLEARED or REJECTED"
    elif view.outcome is Outcome.UPHELD and not dispute.contested:
        expected = "not UPHELD: the number had no label when the dispute was filed"
    if expected:
        raise out_of_range("outcome", view.outcome.name, expected)
    wrong = (
        view.category in (0, dispute.contested)
        if view.outcome is Outcome.RELABELLED
        else view.category != 0
    )
    if wrong:
        raise out_of_range(
            "category",
            repr(view.category),
            "another one than the contested with RELABELLED, and empty else",
        )


def _check_reviewer(dispute: Dispute, reviewer: str) -> None:
    if reviewer in dispute.reviewers or reviewer in dispute.engaged:
        raise FailedPrecondition(
            "REVIEWER_NOT_FREE",
            f"reviewer {reviewer!r} has a part in this dispute already",
            reviewer=reviewer,
        )


def appeal(dispute: Dispute, statement: str, now_ms: int) -> list[Step]:
    """Appeal.

    Raises:
        FailedPrecondition: DISPUTE_STATE_INVALID or APPEAL_USED.
    """
    over = dispute.state in (State.DECIDED, State.CLOSED) and now_ms >= dispute.appeal_until_ms()
    if dispute.round == 2 or over:
        raise FailedPrecondition(
            "APPEAL_USED",
            "a decision can be appealed once, within its time",
            dispute=dispute.dispute_id,
        )
    require(dispute, frozenset({State.DECIDED}))
    return [Step(Kind.APPEALED, Role.APPLICANT, text=statement)]


def withdraw(dispute: Dispute) -> list[Step]:
    """Take it back.

    Raises:
        FailedPrecondition: DISPUTE_STATE_INVALID.
    """
    require(dispute, _AFTER_PROOF | {State.ACKNOWLEDGED})
    return [Step(Kind.WITHDRAWN, Role.APPLICANT, reason="BY_APPLICANT")]


def next_due(dispute: Dispute) -> tuple[int, Step] | None:
    """What the passing of time brings next, and when, epoch milliseconds; None nothing."""
    if dispute.state is State.ACKNOWLEDGED:
        lapse_ms = working_days.deadline_ms(dispute.filed_ms, ANSWER_DAYS)
        return lapse_ms, Step(Kind.WITHDRAWN, reason="LAPSED")
    if dispute.paused_ms:
        resume_ms = working_days.deadline_ms(dispute.paused_ms, ANSWER_DAYS)
        return resume_ms, Step(Kind.RESUMED, reason="NO_ANSWER")
    if dispute.state is State.WITH_SOURCES:
        silent_ms = working_days.deadline_ms(dispute.asked_ms, SOURCES_DAYS, dispute.pauses)
        return silent_ms, Step(Kind.REVIEW_OPENED, reason="SOURCES_SILENT")
    if dispute.appeal_until_ms():
        return dispute.appeal_until_ms(), Step(Kind.CLOSED, reason="APPEAL_TIME_OVER")
    return None


def due(dispute: Dispute, now_ms: int) -> list[Step]:
    """The step that the passing of time has brought, at most one; ask again after it."""
    found = next_due(dispute)
    return [found[1]] if found is not None and now_ms >= found[0] else []

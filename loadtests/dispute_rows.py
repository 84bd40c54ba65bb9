"""Disputes in every state, each by the steps that calls would have made, sealed into one chain.

A hundred thousand disputes by their calls would take hours: one writer, a few statements a step.
Here the same pure functions make the steps, and the same inserts write them, many at once.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from services.arbitration import queries as decisions
from services.arbitration.disputes import queries, steps
from services.arbitration.disputes.cases import Cases, decision_row
from services.arbitration.disputes.checks import Facts, is_illegal
from services.arbitration.disputes.dispute import Dispute, View, apply
from services.arbitration.disputes.events import START, Event, Step, seal
from services.arbitration.disputes.words import (
    REVIEWED,
    Applicant,
    Ground,
    Kind,
    Outcome,
    Paper,
    Reason,
    Role,
    Stance,
    State,
)
from services.common.store import Store

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
SPAN_DAYS = 500
"""Disputes were filed within so many days."""
REVIEWERS = tuple(f"reviewer-{i}" for i in range(20))
READS = 2
"""Privileged reads of each dispute that the audit holds."""
PART = 5_000
OTHER_CATEGORY = 4900
"""A49: other legitimate businesses: what a wrong label is changed to."""
STATEMENT = "该号码为本人自用，从未拨打过推销或诈骗电话，请核实并取消标记。"
REPLY = "经核实，标记与号码的实际用途不符，现予更正。"

Timed = tuple[int, str, int, Step]
"""When, of which dispute, of which number, what."""


class _Story:
    """One dispute as it goes on; a step is taken only if its time has come by now."""

    def __init__(self, dispute_id: str, number: int, facts: Facts, now_ms: int) -> None:
        self._id, self._number, self._now_ms = dispute_id, number, now_ms
        self.facts = facts
        self.timed: list[Timed] = []
        self._state: Dispute | None = None

    @property
    def at(self) -> Dispute:
        assert self._state is not None
        return self._state

    def go(self, time_ms: int, command: Callable[[Dispute], Sequence[Step]]) -> bool:
        """What time brings up to then, then the command; False where that lies ahead."""
        self.wait(min(time_ms, self._now_ms))
        if time_ms > self._now_ms:
            return False
        self.take(time_ms, command(self.at))
        return True

    def wait(self, until_ms: int) -> None:
        while (due := steps.next_due(self.at)) is not None and due[0] <= until_ms:
            self.take(due[0], [due[1]])

    def take(self, time_ms: int, new: Sequence[Step]) -> None:
        for step in new:
            details = json.dumps(step.details, ensure_ascii=False)
            bare = Event(
                0, self._id, self._number, int(step.kind), int(step.role), step.actor, time_ms,
                step.reason, step.text, details, "", "",
            )  # fmt: skip
            self._state = apply(self._state, bare)
            self.timed.append((time_ms, self._id, self._number, step))


def _view(dispute: Dispute, chance: random.Random) -> View:
    drawn = chance.random()
    if drawn < 0.35 and dispute.contested:
        return View(Outcome.UPHELD, 0, Reason.MARKS_FOUNDED, REPLY)
    if drawn < 0.5 and dispute.contested != OTHER_CATEGORY:
        return View(Outcome.RELABELLED, OTHER_CATEGORY, Reason.CATEGORY_WRONG, REPLY)
    if drawn < 0.9:
        return View(Outcome.CLEARED, 0, Reason.MARKS_UNFOUNDED, REPLY)
    return View(Outcome.REJECTED, 0, Reason.NO_USE_CERTIFICATE, REPLY)


def _review(story: _Story, time_ms: int, chance: random.Random) -> int:
    """Decide, by as many as it needs. Returns when, or a time ahead."""
    for name in chance.sample(REVIEWERS, 6):
        if story.at.state not in REVIEWED:
            return time_ms
        dispute = story.at
        if name in dispute.reviewers or name in dispute.engaged:
            continue
        view = _view(dispute, chance)
        grave = dispute.double_review or story.facts.is_grave or is_illegal(view.category)
        if grave or dispute.opinions:
            going = story.go(time_ms, lambda d, n=name, v=view: steps.opine(d, n, v, story.facts))
        else:
            going = story.go(time_ms, lambda d, n=name, v=view: steps.decide(d, n, v, story.facts))
        if not going:
            return time_ms
        time_ms += chance.randrange(HOUR_MS, 2 * DAY_MS)
    return time_ms


def _story(story: _Story, filed_ms: int, chance: random.Random) -> None:
    applicant = Applicant.PERSON if chance.random() < 0.8 else Applicant.ENTERPRISE
    ground = chance.choice(list(Ground))
    filing = steps.Filing(applicant, "", ground, STATEMENT, "bench", "")
    story.take(filed_ms, steps.file(filing, story.facts))
    time_ms = filed_ms + chance.randrange(60_000, 12 * HOUR_MS)
    if chance.random() < 0.1:
        return  # nobody proves ownership, and it lapses
    if not story.go(time_ms, lambda d: steps.send_code(d, "0" * 64, time_ms)):
        return
    proven_ms = time_ms + 60_000
    if not story.go(proven_ms, lambda d: steps.prove(d, "0" * 64, story.facts, proven_ms)[0]):
        return
    time_ms = proven_ms
    if chance.random() < 0.03:
        story.go(
            time_ms + DAY_MS,
            lambda d: steps.withdraw(d) if d.is_open else [],
        )
        return
    for source in story.at.pending if story.at.state is State.WITH_SOURCES else ():
        time_ms += chance.randrange(HOUR_MS, 2 * DAY_MS)
        story.wait(min(time_ms, filed_ms + SPAN_DAYS * DAY_MS))
        if chance.random() < 0.2 or story.at.state is not State.WITH_SOURCES:
            continue  # silent: time opens the review
        stance = chance.choice(list(Stance))
        if not story.go(
            time_ms,
            lambda d, s=source, x=stance: (
                steps.answer(d, s, x, REPLY)
                if d.state is State.WITH_SOURCES and s in d.pending
                else []
            ),
        ):
            return
    for _ in range(60):  # until time has opened the review
        if story.at.state is not State.WITH_SOURCES:
            break
        time_ms += DAY_MS
        if not story.go(time_ms, lambda d: []):
            return
    time_ms += chance.randrange(HOUR_MS, 25 * DAY_MS)
    if story.at.state in REVIEWED and chance.random() < 0.15:
        if not story.go(
            time_ms, lambda d: steps.request_papers(d, chance.choice(REVIEWERS), REPLY)
        ):
            return
        time_ms += chance.randrange(DAY_MS, 10 * DAY_MS)
        if chance.random() < 0.7 and not story.go(
            time_ms,
            lambda d: [steps.add_paper(d, Paper.OWNERSHIP, STATEMENT, "", "")],
        ):
            return
        time_ms += DAY_MS
    time_ms = _review(story, time_ms, chance)
    time_ms += chance.randrange(HOUR_MS, 10 * DAY_MS)
    if story.at.state is State.DECIDED and chance.random() < 0.08:
        if not story.go(
            time_ms, lambda d: steps.appeal(d, STATEMENT, time_ms) if d.appeal_until_ms() else []
        ):
            return
        _review(story, time_ms + chance.randrange(DAY_MS, 20 * DAY_MS), chance)


def write(store: Store, cases: Cases, numbers: Sequence[int], now_ms: int) -> tuple[int, list[str]]:
    """One dispute of each number, and reads of it. Returns events, and ids of the disputes."""
    chance = random.Random(5)
    timed: list[Timed] = []
    ids: list[str] = []
    for start in range(0, len(numbers), PART):
        part = sorted(numbers[start : start + PART])
        facts = cases.facts(part)
        for number in part:
            dispute_id = f"ZM{len(ids):010d}"
            story = _Story(dispute_id, number, facts[number], now_ms)
            filed_ms = now_ms - int(chance.random() ** 1.5 * SPAN_DAYS * DAY_MS) - HOUR_MS
            _story(story, filed_ms, chance)
            story.wait(now_ms)
            timed += story.timed
            for _ in range(READS):
                read = Step(Kind.READ, Role.READER, chance.choice(REVIEWERS), text="dispute")
                later_ms = min(filed_ms + chance.randrange(HOUR_MS, 30 * DAY_MS), now_ms)
                timed.append((later_ms, dispute_id, number, read))
            ids.append(dispute_id)
    timed.sort(key=lambda row: row[0])
    return _write(store, timed), ids


def _sealed(timed: Sequence[Timed]) -> Iterator[Event]:
    seq, digest = 0, START
    for time_ms, dispute_id, number, step in timed:
        (event,) = seal([(dispute_id, number, step)], seq, digest, time_ms)
        seq, digest = event.seq, event.hash
        yield event


def _write(store: Store, timed: Sequence[Timed]) -> int:
    states: dict[str, Dispute] = {}
    verdicts: list[tuple[object, ...]] = []
    waiting: list[Event] = []
    count = 0

    def flush() -> None:
        queries.insert_events(store, None, waiting)
        queries.insert_sources(store, [e for e in waiting if e.kind != Kind.READ])
        waiting.clear()

    for event in _sealed(timed):
        count += 1
        waiting.append(event)
        if event.kind != Kind.READ:
            dispute = apply(states.get(event.dispute_id), event)
            assert dispute is not None
            states[event.dispute_id] = replace(dispute, seq=event.seq)
            if event.kind == Kind.DECIDED and dispute.decided_category >= 0:
                verdicts.append(decision_row(dispute, event))
        if len(waiting) == 50_000:
            flush()
    flush()
    names = ("number", "decided_ms", "category", "valid_until_ms", "authority", "received_ms")
    columns = [list(column) for column in zip(*verdicts, strict=True)]
    decisions.insert_decisions(store, dict(zip(names, columns, strict=True)))
    found = list(states.values())
    for start in range(0, len(found), 20_000):
        queries.insert_disputes(store, found[start : start + 20_000])
    return count

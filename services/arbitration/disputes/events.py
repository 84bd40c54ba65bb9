"""The events of disputes and the chain that makes a change to any of them visible. Pure.

Each event carries the SHA-256 (FIPS 180-4) of itself and of the hash before it, as in a linked
time-stamping record (Haber and Stornetta 1991, doi 10.1007/BF00196791).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.arbitration.disputes.words import Kind, Role

START = "0" * 64
"""The hash before the first event."""


@dataclass(frozen=True)
class Step:
    """An event before it has its place in the log.

    Attributes:
        kind: what happened.
        role, actor: who did it; the applicant and the system have no name.
        reason: a code, "" none.
        text: words, "" none.
        details: what else belongs to it; plain JSON.
    """

    kind: Kind
    role: Role = Role.SYSTEM
    actor: str = ""
    reason: str = ""
    text: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """A step in its place.

    Attributes:
        seq: ascending without gaps over all events, from 1.
        dispute_id: "" for a read that belongs to none.
        number: integer key, 0 for none.
        kind, role: numbers of Kind and Role.
        occurred_ms: epoch milliseconds.
        details: a JSON object, as text.
        previous_hash, hash: hexadecimal.
    """

    seq: int
    dispute_id: str
    number: int
    kind: int
    role: int
    actor: str
    occurred_ms: int
    reason: str
    text: str
    details: str
    previous_hash: str
    hash: str

    def detail(self) -> dict[str, Any]:
        """The details, read."""
        found: dict[str, Any] = json.loads(self.details)
        return found


def content_hash(event: Event) -> str:
    """What `hash` must be: SHA-256 over every other field."""
    parts = [
        event.seq, event.dispute_id, event.number, event.kind, event.role, event.actor,
        event.occurred_ms, event.reason, event.text, event.details, event.previous_hash,
    ]  # fmt: skip
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def seal(
    steps: Sequence[tuple[str, int, Step]], last_seq: int, last_hash: str, now_ms: int
) -> list[Event]:
    """Give steps of (dispute id, number) their places after the last event."""
    events: list[Event] = []
    for dispute_id, number, step in steps:
        last_seq += 1
        bare = Event(
            seq=last_seq,
            dispute_id=dispute_id,
            number=number,
            kind=int(step.kind),
            role=int(step.role),
            actor=step.actor,
            occurred_ms=now_ms,
            reason=step.reason,
            text=step.text,
            details=json.dumps(step.details, ensure_ascii=False, sort_keys=True),
            previous_hash=last_hash,
            hash="",
        )
        last_hash = content_hash(bare)
        events.append(Event(**{**bare.__dict__, "hash": last_hash}))
    return events


@dataclass(frozen=True)
class Proof:
    """What a reading of the chain found.

    Attributes:
        event_count: events read.
        broken_seq: first event that does not fit, 0 where all do.
        fault: HASH, PREVIOUS_HASH, GAP, REPEAT, TAIL or UNKNOWN_HEAD, "" where all fit.
        head_seq, head_hash: of the last event.
    """

    event_count: int
    broken_seq: int
    fault: str
    head_seq: int
    head_hash: str


def prove(events: Iterable[Event], known_hash: str = "") -> Proof:
    """Read events in order of seq and prove that each follows from the one before.

    Args:
        events: all of them.
        known_hash: a hash noted earlier that must be among them: it finds a cut-off tail, or a
            chain made anew from the start.
    """
    count, seq, head, is_known = 0, 0, START, not known_hash
    for event in events:
        count += 1
        is_known = is_known or event.hash == known_hash
        fault = ""
        if event.seq <= seq:
            fault = "REPEAT"
        elif event.seq != seq + 1:
            fault = "GAP"
        elif event.previous_hash != head:
            fault = "PREVIOUS_HASH"
        elif content_hash(event) != event.hash:
            fault = "HASH"
        if fault:
            return Proof(count, event.seq, fault, seq, head)
        seq, head = event.seq, event.hash
    if not is_known:
        return Proof(count, seq, "UNKNOWN_HEAD", seq, head)
    return Proof(count, 0, "", seq, head)

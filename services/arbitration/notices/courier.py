"""Turns the logs into notices, and brings them: a thread of its own over a durable outbox.

What disputes and publishing wrote is the truth; the outbox is made from it. A place in a log is
noted after its notices are written, and a notice's id follows from what it tells: after a kill the
same is made again and adds nothing. A notice is brought at least once; receivers know it again by
its id.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from services.arbitration.disputes import queries as dispute_queries
from services.arbitration.disputes.dispute import Dispute, apply, fold
from services.arbitration.disputes.events import Event
from services.arbitration.disputes.words import Kind, Proof, State
from services.arbitration.notices import queries, sending
from services.arbitration.notices.notice import (
    DISPUTE_CHANGED,
    FOR_APPLICANTS,
    FOR_SOURCES,
    NUMBER_CHANGED,
    Attempt,
    Notice,
    Party,
    Target,
    after_try,
    notice,
    signed_headers,
    signing_key,
)
from services.arbitration.notices.notice import State as NoticeState
from services.common.clock import Clock
from services.common.numbering import from_key
from services.common.store import Store
from services.common.wire import category_code

log = logging.getLogger(__name__)

DISPUTES, PUBLISHED = "disputes", "published"
TICK_S = 1.0
EVENTS, EACH, DUE = 5_000, 20, 2_000
"""Events read at once; notices of one target, and of all, brought in one round."""
SENDERS = 8
_REPUTATION_STATES = (
    "UNSPECIFIED", "UNKNOWN", "PROVISIONAL", "ESTABLISHED", "CONTESTED", "DISPUTED",
    "ADJUDICATED", "SPOOFED", "PROTECTED",
)  # fmt: skip


class Courier:
    """The only writer of notices, attempts and places."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        secret: bytes,
        allow_private: bool,
        chance: Callable[[], float],
    ) -> None:
        self._store, self._clock, self._secret = store, clock, secret
        self._allow_private, self._chance = allow_private, chance
        self._lock = threading.Lock()
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._due_ms: int | None = 0  # look into the outbox first: a stop may have left some

    def start(self) -> None:
        """Bring notices, in a thread of its own."""
        self._stopping.clear()
        self._due_ms = 0
        self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the round under way."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """Look into the outbox now."""
        self._due_ms = 0
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(TICK_S)
            self._wake.clear()
            try:
                self.tick()
            except Exception:  # the thread outlives whatever the store or a row brings
                log.warning("notices wait, trying again", exc_info=True)

    def tick(self) -> int:
        """One round: write what is new into the outbox, bring what is due. Returns tries made."""
        with self._lock:
            targets = queries.targets(self._store)
            if not targets:
                return 0
            made = self._from_disputes(targets) + self._from_published(targets)
            now_ms = self._clock()
            if not made and (self._due_ms is None or self._due_ms > now_ms):
                return 0
            tried = self._bring(targets, now_ms)
            self._due_ms = queries.next_due(self._store)
            return tried

    def begin(self) -> None:
        """Note where the logs end, before the first target: nothing from before is told."""
        with self._lock:
            if queries.place(self._store, DISPUTES) is None:
                seq, _ = dispute_queries.head(self._store)
                queries.move(self._store, DISPUTES, seq, self._clock())
            if queries.place(self._store, PUBLISHED) is None:
                version = queries.last_version(self._store)
                queries.move(self._store, PUBLISHED, version, self._clock())

    # ---- what is told -------------------------------------------------------------------------

    def _from_disputes(self, targets: Sequence[Target]) -> int:
        made = 0
        while True:
            at = queries.place(self._store, DISPUTES) or 0
            events = queries.events_after(self._store, at, EVENTS)
            if not events:
                return made
            told = [e for e in events if e.dispute_id and Kind(e.kind) in FOR_APPLICANTS]
            notices = list(self._of_events(told, targets))
            queries.insert_notices(self._store, notices)
            queries.move(self._store, DISPUTES, events[-1].seq, self._clock())
            made += len(notices)

    def _of_events(self, told: Sequence[Event], targets: Sequence[Target]) -> Iterable[Notice]:
        by_name: dict[tuple[Party, str], list[Target]] = {}
        for target in targets:
            by_name.setdefault((target.party, target.name), []).append(target)
        new = {event.seq for event in told}
        ids = list(dict.fromkeys(event.dispute_id for event in told))
        for name, events in dispute_queries.events_of(self._store, ids).items():
            dispute: Dispute | None = None
            for event in events:
                dispute = apply(dispute, event)
                if event.seq not in new or dispute is None:
                    continue
                parties = [(Party.APPLICANT, name)]
                if Kind(event.kind) in FOR_SOURCES:
                    parties += [(Party.SOURCE, source) for source in dispute.sources]
                for party in parties:
                    for target in by_name.get(party, ()):
                        if event.occurred_ms >= target.created_ms:
                            yield self._of_event(event, dispute, target)

    def _of_event(self, event: Event, dispute: Dispute, target: Target) -> Notice:
        kind, view, deadline_ms = Kind(event.kind), dispute.view, dispute.deadline_ms()
        details: dict[str, Any] = {
            "dispute_id": dispute.dispute_id,
            "number": from_key(dispute.number).number,
            "seq": event.seq,
            "event": kind.name,
            "state": dispute.state.name,
            "contested_category": category_code(dispute.contested),
            "deadline_ms": deadline_ms or None,
        }
        if view is not None:
            details |= {"outcome": view.outcome.name, "reason": view.reason.name}
            if dispute.decided_category >= 0:
                details["decided_category"] = category_code(dispute.decided_category) or "CLEARED"
        if target.party is Party.APPLICANT and kind in (Kind.DECIDED, Kind.EVIDENCE_REQUESTED):
            details["text"] = view.text if kind is Kind.DECIDED and view else event.text
        return notice(self._secret, target, DISPUTE_CHANGED, event.seq, event.occurred_ms, details)

    def _from_published(self, targets: Sequence[Target]) -> int:
        at, last = queries.place(self._store, PUBLISHED) or 0, queries.last_version(self._store)
        if at >= last:
            return 0
        notices = list(self._of_numbers(at, last, targets))
        queries.insert_notices(self._store, notices)
        queries.move(self._store, PUBLISHED, last, self._clock())
        return len(notices)

    def _of_numbers(self, after: int, until: int, targets: Sequence[Target]) -> Iterable[Notice]:
        holders = sorted({t.name for t in targets if t.party is Party.HOLDER})
        registered = (
            queries.registered_numbers(self._store, holders, self._clock()) if holders else {}
        )
        applicants = [t for t in targets if t.party is Party.APPLICANT]
        asked = sorted(registered.keys() | {t.number for t in applicants})
        rows = queries.published_between(self._store, asked, after, until) if asked else []
        if not rows:
            return
        changed = sorted({row["number"] for row in rows})
        before = queries.published_at(self._store, changed, after)
        listeners: dict[int, list[Target]] = {number: [] for number in changed}
        for target in targets:
            if target.party is Party.HOLDER:
                for number in changed:
                    if registered.get(number) == target.name:
                        listeners[number].append(target)
        moved = queries.changed_hands(self._store, changed)
        for target in self._proven([t for t in applicants if t.number in listeners]):
            # A former holder hears nothing of the next one's number.
            if moved.get(target.number, 0) <= target.created_ms:
                listeners[target.number].append(target)
        for row in rows:
            number, shown = row["number"], (row["category"], row["level"], row["state"])
            if before.get(number, (0, 0, 1)) == shown:
                continue
            before[number] = shown
            details = {
                "number": from_key(number).number,
                "version": row["version"],
                "category": category_code(row["category"]),
                "level": row["level"],
                "state": _REPUTATION_STATES[row["state"]],
                "probability": round(row["probability"], 4),
            }
            for target in listeners[number]:
                if row["update_ms"] >= target.created_ms:
                    yield notice(
                        self._secret,
                        target,
                        NUMBER_CHANGED,
                        row["version"],
                        row["update_ms"],
                        details,
                    )

    def _proven(self, applicants: Sequence[Target]) -> Iterable[Target]:
        """Targets whose applicant has proven that the number is the applicant's."""
        histories = dispute_queries.events_of(self._store, [t.name for t in applicants])
        for target in applicants:
            dispute = fold(histories[target.name])
            if dispute and dispute.proof != Proof.NONE and dispute.state != State.WITHDRAWN:
                yield target

    # ---- how it is brought --------------------------------------------------------------------

    def _bring(self, targets: Sequence[Target], now_ms: int) -> int:
        known = {target.target_id: target for target in targets}
        groups: dict[str, list[tuple[Notice, int, int]]] = {}
        orphans: list[Attempt] = []
        for found, attempt, tries in queries.due(self._store, now_ms, EACH, DUE):
            if found.target_id in known:
                groups.setdefault(found.target_id, []).append((found, attempt, tries))
            else:
                orphans.append(_orphan(found, attempt + 1, tries, now_ms))
        if orphans:
            queries.insert_attempts(self._store, orphans)
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="notice") as pool:
            made = pool.map(lambda name: self._bring_to(known[name], groups[name]), groups)
            return sum(made)

    def _bring_to(self, target: Target, waiting: Sequence[tuple[Notice, int, int]]) -> int:
        """Bring a target's notices one after the other, up to the first that fails."""
        key, made = signing_key(self._secret, target.target_id), 0
        for found, attempt, tries in waiting:
            if self._stopping.is_set():
                break
            body = found.body.encode()
            headers = signed_headers(key, found.notice_id, self._clock() // 1000, body)
            status, cause = sending.post(target.url, body, headers, self._allow_private)
            done = after_try(
                found, attempt + 1, tries + 1, status, cause, self._clock(), self._chance()
            )
            queries.insert_attempts(self._store, [done])
            made += 1
            if done.state is not NoticeState.DELIVERED:
                break
        return made


def _orphan(found: Notice, attempt: int, tries: int, now_ms: int) -> Attempt:
    """What waits for a target that was removed is no longer brought."""
    return Attempt(
        found.notice_id, found.target_id, attempt, tries, NoticeState.DEAD, 0, "TARGET_REMOVED",
        now_ms, 0,
    )  # fmt: skip

"""Disputes over the store: one writer of events, and what each event brings about."""

import hashlib
import hmac
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from services.arbitration import queries as decisions
from services.arbitration.disputes import checks, queries, steps
from services.arbitration.disputes.checks import Facts, Standing
from services.arbitration.disputes.dispute import Dispute, apply, fold
from services.arbitration.disputes.events import START, Event, Proof, Step, prove, seal
from services.arbitration.disputes.words import Kind, Outcome, Role
from services.arbitration.engine import Engine
from services.common.clock import Clock
from services.common.errors import DomainError, FailedPrecondition, NotFound
from services.common.lease import Fence, lost
from services.common.numbering import Number
from services.common.store import Store

log = logging.getLogger(__name__)

AUTHORITY = "dispute review"
DAY_MS = 86_400_000
SWEEP = 5_000
"""Disputes moved in one sweep."""

_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""No 0, 1, I or O: people copy case numbers by hand."""

Chance = Callable[[int], int]
"""Returns a random whole number in [0, n)."""

T = TypeVar("T")


class Sender(Protocol):
    """Brings a message to a number."""

    def send(self, number: int, text: str) -> None:
        """Send, or raise Unavailable(SENDER_UNAVAILABLE)."""
        ...


class OutboxSender:
    """Writes messages where the operator finds them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def send(self, number: int, text: str) -> None:
        """Put it into the outbox."""
        queries.write_message(self._store, number, text, self._clock())


class Cases:
    """All disputes; the only writer of their tables."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        clock: Clock,
        secret: bytes,
        sender: Sender,
        touch: Callable[[Sequence[int]], None],
        chance: Chance,
    ) -> None:
        self._store, self._engine, self._clock = store, engine, clock
        self._secret, self._sender, self._touch = secret, sender, touch
        self._chance = chance
        self._lock = threading.RLock()
        self._head: tuple[int, str] | None = None
        self._untouched: set[int] = set()
        self._fence: Fence | None = None
        self._is_laid_down = False

    def take_up(self, fence: Fence | None) -> None:
        """Write from now on, after what a former owner wrote."""
        with self._lock:
            self._fence, self._is_laid_down, self._head = fence, False, None

    def lay_down(self) -> None:
        """Write no more."""
        with self._lock:
            self._is_laid_down = True

    def file(self, filings: Sequence[tuple[Number, steps.Filing]]) -> list[Dispute | DomainError]:
        """File disputes; each is answered in its place."""
        with self._lock:
            now_ms = self._clock()
            ids = [self._id_of(number, filing) for number, filing in filings]
            known = queries.events_of(self._store, list(dict.fromkeys(ids)), exact=True)
            facts = self.facts([number.key for number, _ in filings])
            in_flight: dict[int, list[str]] = {}
            for key, dispute_id in queries.open_of(self._store, list(facts)):
                in_flight.setdefault(key, []).append(dispute_id)
            answers: dict[str, Dispute | DomainError] = {}
            new: list[tuple[str, int, Step]] = []
            for (number, filing), dispute_id in zip(filings, ids, strict=True):
                before = fold(known[dispute_id])
                if before is not None:
                    answers[dispute_id] = before
                if before is not None or in_flight.get(number.key) == [dispute_id]:
                    continue
                try:
                    for other in in_flight.get(number.key, []):
                        new += self._supersede(other, number, now_ms)
                except FailedPrecondition as error:
                    answers[dispute_id] = error
                    continue
                in_flight[number.key] = [dispute_id]
                filed = steps.file(filing, facts[number.key])
                new += [(dispute_id, number.key, step) for step in filed]
            answers |= self._append(new, now_ms)
            return [answers[dispute_id] for dispute_id in ids]

    def _supersede(
        self, dispute_id: str, number: Number, now_ms: int
    ) -> list[tuple[str, int, Step]]:
        other = fold(queries.events_of(self._store, [dispute_id], exact=True)[dispute_id])
        if other is None or not steps.gives_way(other, now_ms):
            raise FailedPrecondition(
                "DISPUTE_IN_FLIGHT",
                "another dispute of the number is open; follow that one",
                number=number.number,
            )
        return [(dispute_id, number.key, step) for step in steps.supersede()]

    def act(
        self,
        dispute_id: str,
        command: Callable[[Dispute, int], tuple[list[Step], DomainError | None]],
    ) -> Dispute:
        """Let time pass for a dispute, then apply what a call makes of it.

        Raises:
            NotFound: DISPUTE_NOT_FOUND.
            DomainError: what the command raises or returns beside its steps.
        """
        with self._lock:
            now_ms = self._clock()
            dispute = self._overtaken(self.history(dispute_id, exact=True)[0], now_ms)
            new, error = command(dispute, now_ms)
            changed = self._append([(dispute_id, dispute.number, step) for step in new], now_ms)
            if error is not None:
                raise error
            return changed.get(dispute_id, dispute)

    def _overtaken(self, dispute: Dispute, now_ms: int) -> Dispute:
        while step := steps.due(dispute, now_ms):
            dispute = self._append([(dispute.dispute_id, dispute.number, s) for s in step], now_ms)[
                dispute.dispute_id
            ]
        return dispute

    def send_code(self, dispute_id: str) -> Dispute:
        """Send a fresh code to the number."""
        code = f"{self._chance(1_000_000):06d}"

        def command(dispute: Dispute, now_ms: int) -> tuple[list[Step], None]:
            return steps.send_code(dispute, self.code_digest(dispute_id, code), now_ms), None

        dispute = self.act(dispute_id, command)
        text = f"【正名】异议 {dispute_id} 的验证码：{code}，10分钟内有效。请勿告知他人。"
        self._sender.send(dispute.number, text)
        return dispute

    def code_digest(self, dispute_id: str, code: str) -> str:
        """What is kept of a code."""
        message = f"code\0{dispute_id}\0{code}".encode(errors="replace")
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()

    def history(self, dispute_id: str, exact: bool = False) -> tuple[Dispute, list[Event]]:
        """A dispute as it stands, and its events, oldest first.

        Args:
            exact: for who moves it, see Store.query.

        Raises:
            NotFound: DISPUTE_NOT_FOUND.
        """
        # Events of no dispute, such as readings and changed targets of notices, have no id.
        ids = [dispute_id] if dispute_id else []
        events = queries.events_of(self._store, ids, exact).get(dispute_id, [])
        dispute = fold(events)
        if dispute is None:
            raise NotFound(
                "DISPUTE_NOT_FOUND", f"no dispute {dispute_id[:40]!r}", dispute=dispute_id[:40]
            )
        return dispute, events

    def get(self, dispute_id: str) -> Dispute:
        """A dispute as it stands.

        Raises:
            NotFound: DISPUTE_NOT_FOUND.
        """
        return self.history(dispute_id)[0]

    def many(self, dispute_ids: Sequence[str], exact: bool = False) -> list[Dispute]:
        """Disputes in the order asked; see `history`."""
        found = queries.events_of(self._store, dispute_ids, exact)
        folded = (fold(found[name]) for name in dispute_ids)
        return [dispute for dispute in folded if dispute is not None]

    def case_number(self, dispute_id: str) -> str:
        """What the applicant acts with: the id and a key that only this store can make."""
        return f"{dispute_id}-{self._letters(f'case{chr(0)}{dispute_id}', 8)}"

    def dispute_of_case(self, case_number: str) -> str:
        """The dispute of a case number, however it was typed.

        Raises:
            NotFound: DISPUTE_NOT_FOUND.
        """
        dispute_id = case_number.strip().upper().partition("-")[0]
        right = self.case_number(dispute_id)
        given = case_number.strip().upper()
        if not hmac.compare_digest(right.encode(), given.encode(errors="replace")):
            raise NotFound("DISPUTE_NOT_FOUND", "no such case number", dispute="")
        return dispute_id

    def _id_of(self, number: Number, filing: steps.Filing) -> str:
        named = "\0".join(("id", filing.filer, filing.request_id, str(number.key)))
        return "ZM" + self._letters(named, 10)

    def _letters(self, message: str, count: int) -> str:
        digest = hmac.new(self._secret, message.encode(errors="replace"), hashlib.sha256).digest()
        return "".join(_ALPHABET[byte % 32] for byte in digest[:count])

    def record_read(self, reader: str, what: str, number: int = 0, dispute_id: str = "") -> None:
        """Write a privileged read into the audit."""
        self.record(Step(Kind.READ, Role.READER, reader, text=what), number, dispute_id)

    def record(self, step: Step, number: int = 0, dispute_id: str = "") -> None:
        """Write into the audit what moves no dispute."""
        with self._lock:
            self._append([(dispute_id, number, step)], self._clock())

    def facts(self, numbers: Sequence[int]) -> dict[int, Facts]:
        """What is known of numbers now."""
        now_ms = self._clock()
        keys = np.unique(np.array(numbers, dtype=np.int64))
        found, _ = self._engine.arbitrate(keys, now_ms)
        names = self._engine.label_names()
        standing: dict[int, list[Standing]] = {}
        evidence = found.evidence
        for row in range(len(evidence["number"])):
            label = int(evidence["label"][row])
            source, text = names[label]
            standing.setdefault(int(evidence["number"][row]), []).append(
                Standing(
                    source, text, self._engine.meaning_of(label), int(evidence["mark_count"][row])
                )
            )
        holders = queries.holders(self._store, keys.tolist(), now_ms)
        return {
            number: Facts(
                epoch_start_ms=int(found.counts["epoch_start_ms"][i]),
                mark_count=int(found.counts["mark_count"][i]),
                former_mark_count=int(found.counts["former_mark_count"][i]),
                distribution=tuple(
                    (int(category), float(probability))
                    for category, probability in zip(
                        found.categories[i], found.probabilities[i], strict=True
                    )
                    if probability >= 0.01
                ),
                standing=tuple(standing.get(number, ())),
                decided=int(found.decided_category[i]),
                holder=holders.get(number, ""),
            )
            for i, number in enumerate(found.numbers.tolist())
        }

    def verify(self, known_hash: str = "") -> Proof:
        """Read the whole chain; a list that is ahead of it means that its tail was cut off."""
        known = queries.listed_seq(self._store)  # before the events, which are written first
        proof = prove(queries.all_events(self._store), known_hash)
        if not proof.fault and known > proof.head_seq:
            return Proof(
                proof.event_count, proof.head_seq + 1, "TAIL", proof.head_seq, proof.head_hash
            )
        return proof

    def sweep(self) -> int:
        """Take the steps that time has brought, and tell what could not be told. Returns moved."""
        with self._lock:
            now_ms = self._clock()
            moved = 0
            for dispute in self.many(queries.due(self._store, now_ms, SWEEP), exact=True):
                moved += self._overtaken(dispute, now_ms) is not dispute
        self._tell(())
        return moved

    def recover(self) -> None:
        """Finish what a stop left half done; called once the services listen."""
        with self._lock:
            self._repair()
            self._untouched |= set(queries.touched_since(self._store, self._clock() - DAY_MS))
        self._tell(())

    def _append(self, new: Sequence[tuple[str, int, Step]], now_ms: int) -> dict[str, Dispute]:
        """Write steps and what they bring about. Returns the disputes that changed."""
        if not new:
            return {}
        if self._is_laid_down:
            raise lost("arbitration")
        if self._head is None:
            self._repair()
        assert self._head is not None
        events = seal(new, *self._head, now_ms)
        self._head = None  # until all of it is written
        queries.insert_events(self._store, self._fence, events)
        changed = self._project(events)
        self._head = events[-1].seq, events[-1].hash
        return changed

    def _repair(self) -> None:
        torn = queries.unprojected(self._store)
        if torn:
            found = queries.events_of(self._store, torn, exact=True)
            self._project([event for name in torn for event in found[name]])
        seq, digest = queries.head(self._store)
        self._head = seq, digest or START

    def _project(self, events: Sequence[Event]) -> dict[str, Dispute]:
        """Rows that follow from events: lists, sources, decisions. The same again is harmless."""
        moving = [event for event in events if event.dispute_id and event.kind != Kind.READ]
        ids = list(dict.fromkeys(event.dispute_id for event in moving))
        histories = queries.events_of(self._store, ids, exact=True)
        changed: dict[str, Dispute] = {}
        rows: list[tuple[object, ...]] = []
        touched: set[int] = set()
        fresh = {event.seq for event in moving}
        for name in ids:
            dispute: Dispute | None = None
            for event in histories[name]:
                before = dispute
                dispute = apply(before, event)
                assert dispute is not None
                if event.seq not in fresh:
                    continue
                if event.kind == Kind.DECIDED and dispute.decided_category >= 0:
                    rows.append(decision_row(dispute, event))
                shown = (dispute.contested_from_ms, dispute.contested_until_ms, dispute.view)
                if before is not None and shown != (
                    before.contested_from_ms, before.contested_until_ms, before.view,
                ):  # fmt: skip
                    touched.add(dispute.number)
            assert dispute is not None
            changed[name] = dispute
        if rows:
            names = (
                "number", "decided_ms", "category", "valid_until_ms", "authority", "received_ms",
            )  # fmt: skip
            columns = [list(column) for column in zip(*rows, strict=True)]
            decisions.insert_decisions(self._store, dict(zip(names, columns, strict=True)))
        queries.insert_sources(self._store, moving)
        if changed:
            queries.insert_disputes(self._store, list(changed.values()))
        self._tell(touched)
        return changed

    def _tell(self, numbers: Sequence[int] | set[int]) -> None:
        """Have touched numbers published anew; what fails is told again at the next sweep."""
        self._untouched |= set(numbers)
        if not self._untouched:
            return
        told = sorted(self._untouched)
        try:
            self._touch(told)
        except DomainError:
            log.warning("touched numbers could not be told, trying again")
            return
        self._untouched -= set(told)


def decision_row(dispute: Dispute, event: Event) -> tuple[object, ...]:
    """What a decision on the merits adds to the table of decisions."""
    until_ms = 0
    if event.role == Role.SYSTEM and dispute.view and dispute.view.outcome is Outcome.CLEARED:
        until_ms = event.occurred_ms + checks.AUTOMATIC_DAYS * DAY_MS
    return (
        dispute.number, event.occurred_ms, dispute.decided_category, until_ms, AUTHORITY,
        event.occurred_ms,
    )  # fmt: skip

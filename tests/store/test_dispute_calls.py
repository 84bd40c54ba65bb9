"""Any sequence of calls over the real store, restarts among them: no event is lost."""

from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import services
from services.arbitration.disputes import queries, steps
from services.arbitration.disputes.cases import Cases, OutboxSender
from services.arbitration.disputes.dispute import Dispute, View, fold
from services.arbitration.disputes.words import (
    OPEN,
    Applicant,
    Ground,
    Outcome,
    Paper,
    Reason,
    State,
)
from services.arbitration.engine import Engine
from services.common.errors import DomainError
from services.common.migrate import migrate
from services.common.numbering import parse
from services.common.store.chdb import ChdbStore
from services.configuration import NAMES as SERVICES

NUMBERS = [parse(f"1380013800{i}") for i in range(3)]
DAY_MS = 86_400_000
_databases = count(1)
VIEWS = st.sampled_from(
    [
        View(Outcome.CLEARED, 0, Reason.MARKS_UNFOUNDED, "查无实据"),
        View(Outcome.RELABELLED, 3101, Reason.CATEGORY_WRONG, "贷款"),
        View(Outcome.RELABELLED, 1100, Reason.CATEGORY_WRONG, "诈骗"),
        View(Outcome.REJECTED, 0, Reason.NO_STATEMENT, "不清楚"),
    ]
)
REVIEWERS = st.sampled_from(["ann", "bo", "cy"])
WHICH = st.integers(0, 5)


def machine(path: Path) -> type[RuleBasedStateMachine]:
    class Calls(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.now_ms = 1_790_000_000_000
            self.store = ChdbStore(path, f"calls_{next(_databases)}")
            root = Path(services.__file__).parent
            for name in SERVICES:
                migrate(self.store, name, root / name / "schema", clock=lambda: self.now_ms)
            self.touched: list[int] = []
            self.ids: list[str] = []
            self.seen = 0
            self.restart()

        def teardown(self) -> None:
            self.store.execute(f"DROP DATABASE {self.store.database}")
            self.store.close()

        @rule()
        def restart(self) -> None:
            def clock() -> int:
                return self.now_ms

            self.cases = Cases(
                self.store, Engine(self.store), clock, b"k" * 32,
                OutboxSender(self.store, clock), self.touched.extend, lambda n: 7,
            )  # fmt: skip
            self.cases.recover()

        @rule(hours=st.integers(1, 24 * 20))
        def time_passes(self, hours: int) -> None:
            self.now_ms += hours * 3_600_000
            self.cases.sweep()

        @rule(which=st.lists(st.integers(0, 2), min_size=1, max_size=3), request=st.integers(0, 3))
        def file(self, which: list[int], request: int) -> None:
            filings = [
                (
                    NUMBERS[i],
                    steps.Filing(
                        Applicant.PERSON, "", Ground.OTHER, "不是我", "public", str(request)
                    ),
                )
                for i in which
            ]
            for answer in self.cases.file(filings):
                if isinstance(answer, Dispute) and answer.dispute_id not in self.ids:
                    self.ids.append(answer.dispute_id)

        def act(self, which: int, command) -> None:
            if not self.ids:
                return
            dispute_id = self.ids[which % len(self.ids)]
            try:
                self.cases.act(dispute_id, lambda d, now: (command(d, now), None))
            except DomainError:
                return

        @rule(which=WHICH)
        def prove(self, which: int) -> None:
            if not self.ids:
                return
            dispute_id = self.ids[which % len(self.ids)]
            try:
                self.cases.send_code(dispute_id)
                digest = self.cases.code_digest(dispute_id, "000007")
                self.cases.act(
                    dispute_id,
                    lambda d, now: steps.prove(
                        d, digest, self.cases.facts([d.number])[d.number], now
                    ),
                )
            except DomainError:
                return

        @rule(which=WHICH, reviewer=REVIEWERS, view=VIEWS)
        def decide(self, which: int, reviewer: str, view: View) -> None:
            self.act(which, lambda d, now: steps.decide(d, reviewer, view, steps.Facts()))

        @rule(which=WHICH, reviewer=REVIEWERS, view=VIEWS)
        def opine(self, which: int, reviewer: str, view: View) -> None:
            self.act(which, lambda d, now: steps.opine(d, reviewer, view, steps.Facts()))

        @rule(which=WHICH)
        def add_paper(self, which: int) -> None:
            self.act(which, lambda d, now: [steps.add_paper(d, Paper.OTHER, "x", "", "")])

        @rule(which=WHICH)
        def appeal(self, which: int) -> None:
            self.act(which, lambda d, now: steps.appeal(d, "x", now))

        @rule(which=WHICH)
        def withdraw(self, which: int) -> None:
            self.act(which, lambda d, now: steps.withdraw(d))

        @rule()
        def read(self) -> None:
            self.cases.record_read("audrey", "list")

        @invariant()
        def holds(self) -> None:
            proof = self.cases.verify()
            assert proof.fault == ""
            assert proof.event_count >= self.seen
            self.seen = proof.event_count
            histories = queries.events_of(self.store, self.ids)
            open_numbers = []
            for dispute_id in self.ids:
                dispute = fold(histories[dispute_id])
                assert dispute is not None
                assert dispute.state not in (State.FILED, State.CHECKING)
                if dispute.state in OPEN:
                    open_numbers.append((dispute.number, dispute_id))
            listed = queries.open_of(self.store, [number.key for number in NUMBERS])
            assert sorted(listed) == sorted(open_numbers)
            in_review = [n for n, i in listed if fold(histories[i]).contested_from_ms]
            assert len(in_review) == len(set(in_review))

    return Calls


def test_no_sequence_of_calls_loses_an_event_or_breaks_the_chain(chdb_engine, chdb_path):
    run_state_machine_as_test(
        machine(chdb_path),
        settings=settings(
            max_examples=6,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

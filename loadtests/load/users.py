"""Who uses the services, for locust: vendors, sources, carriers, holders, a reviewer. A locustfile.

The scenario and the folder for what was acknowledged come by the environment, see `plan`.
"""

import itertools
import os
import re
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.experimental.gevent
import numpy as np
from locust import User, constant_throughput, events, task

from loadtests.load import plan
from loadtests.visitor import Visitor
from services.common import rpc
from services.consumer.sync import Consumer
from zhengming.arbitration.v1 import dispute_pb2, dispute_pb2_grpc
from zhengming.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from zhengming.reputation.v1 import reputation_pb2, reputation_pb2_grpc

grpc.experimental.gevent.init_gevent()

SCENARIO = plan.SCENARIOS[os.environ[plan.SCENARIO]]
if os.environ.get(plan.RATE):
    SCENARIO = replace(SCENARIO, marks=float(os.environ[plan.RATE]))
HAS_FAULTS = SCENARIO.faults_from is not None
FOLDER = Path(os.environ[plan.FOLDER])
CONSOLE = os.environ[plan.CONSOLE]
PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)
CALL_S = 30
WRONG = "wrong answer"
_begun = time.monotonic()


class Wrong(Exception):
    """An answer that cannot be right."""


def factor() -> float:
    """How many times the usual number of marks there are now."""
    return SCENARIO.factor(time.monotonic() - _begun)


def phase() -> str:
    """Of the scenario, as it is added to what calls are counted by."""
    return SCENARIO.phase(time.monotonic() - _begun)


class Caller(User):
    """A user of gRPC; a call that is shed is asked again when the server says."""

    abstract = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.chance = np.random.default_rng(int.from_bytes(uuid.uuid4().bytes[:4], "big"))
        self.channel = rpc.connect(environment.host)

    def on_stop(self) -> None:
        """Hang up."""
        self.channel.close()

    def timed(self, name: str, call: Callable[[], Any], count: int = 1) -> Any:
        """Make a call and report it; None where it failed. Waits where it was shed."""
        begun, failure, answer, wait_s = time.perf_counter(), None, None, 0.0
        name += phase()
        try:
            answer = call()
        except grpc.RpcError as error:
            failure = error
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                told = rpc.retry_delay_s(error)
                name += ", shed" if told else ", shed without RetryInfo"
                failure, wait_s = (None if told else error), told or 0.0
            elif HAS_FAULTS and error.code() in PASSING:
                name, failure, wait_s = f"{name}, failed by a fault", None, 0.2
        except Wrong as error:
            name, failure = f"{name}: {WRONG}", error
        events.request.fire(
            request_type="gRPC",
            name=name,
            response_time=(time.perf_counter() - begun) * 1000,
            response_length=count,
            exception=failure,
            context={},
        )
        if wait_s:
            time.sleep(wait_s)
        return answer


class Vendor(Caller):
    """Asks for numbers that call: a few again and again (Zipf), many that nobody knows."""

    wait_time = constant_throughput(20)
    fixed_count = 4

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.stub = reputation_pb2_grpc.ReputationServiceStub(self.channel)

    def number(self) -> tuple[str, bool]:
        """A number, and whether anything is known of it."""
        if self.chance.random() < plan.MISSES:
            return f"+{plan.UNKNOWN + int(self.chance.integers(plan.POOL))}", False
        return f"+{plan.FIRST + int(self.chance.zipf(1.3)) % plan.KNOWN}", True

    @task(9)
    def look_up(self) -> None:
        """One number."""
        number, known = self.number()

        def call() -> None:
            request = reputation_pb2.GetReputationRequest(number=number)
            found = self.stub.GetReputation(request, timeout=CALL_S)
            check(found, number, known)

        self.timed("GetReputation", call)

    @task(1)
    def look_many_up(self) -> None:
        """A hundred."""
        asked = [self.number() for _ in range(100)]

        def call() -> None:
            request = reputation_pb2.BatchGetReputationsRequest(numbers=[n for n, _ in asked])
            answer = self.stub.BatchGetReputations(request, timeout=CALL_S)
            for (number, known), result in zip(asked, answer.results, strict=True):
                check(result.reputation, number, known)

        self.timed("BatchGetReputations", call, 100)


def check(found: reputation_pb2.Reputation, number: str, known: bool) -> None:
    """Accept an answer: of the number asked, and of what was marked at least those marks."""
    if found.number != number:
        raise Wrong(f"asked for {number}, answered {found.number}")
    if known and found.mark_count < plan.MARKS_EACH:
        raise Wrong(f"{number} had {plan.MARKS_EACH} marks and has {found.mark_count}")
    if not known and found.state != reputation_pb2.REPUTATION_STATE_UNKNOWN:
        raise Wrong(f"{number} was never marked and is {found.state}")


class Source(Caller):
    """Sends marks, each batch until it is acknowledged, and notes which were."""

    fixed_count = plan.SOURCES
    _names = itertools.count()

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.stub = ingest_pb2_grpc.IngestServiceStub(self.channel)
        self.name = f"load-{next(self._names)}"
        self.sent, self.due = 0, time.monotonic()

    def wait_time(self) -> float:
        """Until the next batch is due; what is late is not caught up with."""
        now = time.monotonic()
        self.due = max(self.due + plan.EVERY_S, now)
        return self.due - now

    @task
    def mark(self) -> None:
        """One batch."""
        request = ingest_pb2.SubmitMarksRequest(source=self.name)
        now_ms = time.time_ns() // 1_000_000
        count = max(round(SCENARIO.marks * factor() * plan.EVERY_S / plan.SOURCES), 1)
        for number in self.chance.integers(0, SCENARIO.pool, count).tolist():
            self.sent += 1
            mark = request.marks.add(
                mark_id=f"{self.name}-{self.sent}",
                number=f"+{plan.MARKED + number * (plan.SPAN // SCENARIO.pool)}",
                label=plan.LABELS[number % len(plan.LABELS)],
                reporter=f"r{int(self.chance.integers(1 << 40))}",
            )
            mark.occurred_time.FromMilliseconds(now_ms - 60_000)
        plan.note(FOLDER, self.name, plan.SENT, self.sent)
        while not self.timed("SubmitMarks", lambda: self._submit(request), count):
            if self.environment.runner.state in ("stopping", "stopped"):
                return
        plan.note(FOLDER, self.name, plan.ACKNOWLEDGED, self.sent)

    def _submit(self, request: ingest_pb2.SubmitMarksRequest) -> bool:
        answer = self.stub.SubmitMarks(request, timeout=CALL_S)
        refused = [r for r in answer.results if r.outcome == ingest_pb2.ITEM_OUTCOME_REJECTED]
        if refused:
            raise Wrong(f"{len(refused)} marks were rejected: {refused[0].error.message}")
        return True


class Carrier(Caller):
    """Keeps a copy: every two seconds what changed, each step verified."""

    wait_time = constant_throughput(0.5)
    fixed_count = 2

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.folder = tempfile.TemporaryDirectory()
        self.consumer = Consumer(self.channel, Path(self.folder.name))

    @task
    def catch_up(self) -> None:
        """Bring the copy to the newest version."""
        self.timed("sync", lambda: self.consumer.catch_up())


class Person(Caller):
    """Looks at pages."""

    abstract = True
    name, password = "", ""

    def on_start(self) -> None:
        """Come in."""
        self.visitor: Visitor | None = None
        self.see("/", "page")

    def see(self, path: str, what: str, form: dict[str, str] | None = None) -> str:
        """A page, as it is counted; "" where it failed."""
        begun, failure, text, name = time.perf_counter(), None, "", f"{what}{phase()}"
        try:
            if self.visitor is None:
                self.visitor = Visitor(f"http://{CONSOLE}", self.name, self.password)
            _, text = self.visitor.ask(path, form)
        except (OSError, RuntimeError) as error:
            failure = None if HAS_FAULTS else error
            name = f"{name}, failed by a fault" if HAS_FAULTS else name
        events.request.fire(
            request_type="HTTP",
            name=name,
            response_time=(time.perf_counter() - begun) * 1000,
            response_length=len(text),
            exception=failure,
            context={},
        )
        return text


class Holder(Person):
    """Looks at the first page, and now and then contests a mark."""

    wait_time = constant_throughput(1)
    fixed_count = 2
    _contested = itertools.count()

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.stub = dispute_pb2_grpc.DisputeServiceStub(self.channel)

    @task(9)
    def see_a_page(self) -> None:
        """The first page."""
        self.see("/", "page")

    @task(1)
    def contest(self) -> None:
        """A dispute, sent by the app of a vendor; a number has one at a time."""
        request = dispute_pb2.FileDisputeRequest(
            number=f"+{plan.FIRST + next(self._contested) % plan.KNOWN}",
            request_id=uuid.uuid4().hex,
            applicant_kind=dispute_pb2.APPLICANT_KIND_PERSON,
            ground=dispute_pb2.DISPUTE_GROUND_REASSIGNED,
            statement="新办号码",
        )
        self.timed("FileDispute", lambda: self.stub.FileDispute(request, timeout=CALL_S))


class Reviewer(Person):
    """Clicks through the queue, disputes, numbers and sources."""

    wait_time = constant_throughput(1)
    fixed_count = 1
    name, password = plan.REVIEWER, plan.PASSWORD

    @task(3)
    def see_a_dispute(self) -> None:
        """The queue, and one of those in it."""
        listed = re.findall(r"/disputes/ZM[\w-]+", self.see("/queue?show=all", "queue"))
        if listed:
            self.see(listed[int(self.chance.integers(len(listed)))], "dispute")

    @task(2)
    def see_a_number(self) -> None:
        """All that is known of one."""
        number = f"+{plan.FIRST + int(self.chance.integers(plan.KNOWN))}"
        self.see("/numbers", "number", {"number": number})

    @task(1)
    def see_sources(self) -> None:
        """How right each source is."""
        self.see("/sources", "sources")

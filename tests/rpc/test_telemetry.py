"""What running services tell of themselves, and what they never tell."""

import hashlib
import hmac
import logging
import urllib.request
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.common.clock import wall_clock_ms
from services.common.numbering import parse
from services.common.telemetry import Settings, names
from services.common.telemetry.provider import RunningTelemetry
from tests.services_in_process import InProcess, in_process
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import reputation_pb2

REPORTER = "reporter-of-the-traced-mark"
MARK_ID = "mark-id-of-the-traced-mark"
_places = count(13912345678)
LABEL = "诈骗电话"
TRACE_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736
SENT = ("traceparent", f"00-{TRACE_ID:032x}-00f067aa0ba902b7-01")
UNSAMPLED = ("traceparent", f"00-{TRACE_ID:032x}-00f067aa0ba902b7-00")


class Told:
    """Running services and what they have told."""

    def __init__(self, running: InProcess, telemetry: RunningTelemetry, folder: Path) -> None:
        self.running, self._telemetry, self.folder = running, telemetry, folder
        self.stubs = running.stubs

    def text(self) -> str:
        """What Prometheus gets."""
        self._telemetry.read()
        url = f"http://127.0.0.1:{self._telemetry.metrics_port}/metrics"
        with urllib.request.urlopen(url) as answer:
            found: str = answer.read().decode()
        return found

    def submit(self, *marks: ingest_pb2.Mark, metadata=()) -> None:
        batch = ingest_pb2.SubmitMarksRequest(source="app", marks=marks)
        answer = self.stubs.ingest.SubmitMarks(batch, metadata=metadata)
        assert all(not result.HasField("error") for result in answer.results)


@pytest.fixture
def number() -> str:
    return f"+86{next(_places)}"


def mark(number: str) -> ingest_pb2.Mark:
    found = ingest_pb2.Mark(
        mark_id=f"{MARK_ID}-{number[-4:]}", number=number, label=LABEL, reporter=REPORTER
    )
    found.occurred_time.FromMilliseconds(wall_clock_ms() - 60_000)
    return found


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def told(chdb_path, tmp_path_factory, exporter) -> Iterator[Told]:
    telemetry = RunningTelemetry(
        Settings(metrics_address="127.0.0.1:0", trace_ratio=0), "all", exporter
    )
    folder = tmp_path_factory.mktemp("telemetry")
    with in_process(
        chdb_path, folder, clock=wall_clock_ms, follow=False, telemetry=telemetry
    ) as running:
        yield Told(running, telemetry, folder)


@pytest.fixture
def spans(exporter) -> InMemorySpanExporter:
    exporter.clear()
    return exporter


def published(told: Told, number: str) -> None:
    """Publish what was touched, as the publisher's thread does."""
    publisher = told.running.application._publisher
    assert publisher is not None
    while publisher.publish_changes(wait_s=0):
        pass
    asked = reputation_pb2.GetReputationRequest(number=number)
    assert told.stubs.reputation.GetReputation(asked).mark_count == 1


def test_a_trace_shows_a_mark_from_ingest_to_reputation_without_a_gap(told, spans, number):
    told.submit(mark(number), metadata=(SENT,))
    published(told, number)

    found = [span for span in spans.get_finished_spans() if span.context.trace_id == TRACE_ID]
    assert len(found) == len(spans.get_finished_spans())
    by_id = {span.context.span_id: span for span in found}
    roots = [span for span in found if span.parent.span_id not in by_id]
    assert [span.name for span in roots] == ["zhengming.ingest.v1.IngestService/SubmitMarks"]
    served = {span.name for span in found if span.kind.name == "SERVER"}
    assert {
        "zhengming.ingest.v1.IngestService/SubmitMarks",
        "zhengming.features.v1.FeaturesService/BatchGetFeatures",
        "zhengming.scoring.v1.ScoringService/BatchGetPriors",
        "zhengming.arbitration.v1.ArbitrationService/BatchArbitrate",
        "zhengming.scoring.v1.ScoringService/BatchScore",
    } <= served
    own = {span.name for span in found}
    assert {"ingest.commit", "changes.wait", "reputation.publish"} <= own
    publish = next(span for span in found if span.name == "reputation.publish")
    path = [span.name for span in ancestors(publish, by_id)]
    assert path == [
        "reputation.publish",
        "changes.wait",
        "ingest.commit",
        "zhengming.ingest.v1.IngestService/SubmitMarks",
    ]
    assert gaps_ns([*ancestors(publish, by_id)]) == 0


def ancestors(span: ReadableSpan, by_id: dict[int, ReadableSpan]) -> Iterator[ReadableSpan]:
    at: ReadableSpan | None = span
    while at is not None:
        yield at
        at = by_id.get(at.parent.span_id)


def gaps_ns(spans: list[ReadableSpan]) -> int:
    """Time between the first start and the last end that no span covers."""
    missing, until = 0, min(span.start_time for span in spans)
    for span in sorted(spans, key=lambda span: span.start_time):
        missing += max(span.start_time - until, 0)
        until = max(until, span.end_time)
    return missing


def test_two_traced_marks_in_one_batch_each_have_their_chain(told, spans, number):
    other = ("traceparent", f"00-{1:032x}-00f067aa0ba902b7-01")

    told.submit(mark(number), metadata=(SENT,))
    told.submit(mark(f"+86{next(_places)}"), metadata=(other,))
    published(told, number)

    chains = [span for span in spans.get_finished_spans() if span.name == "reputation.publish"]
    assert {span.context.trace_id for span in chains} == {TRACE_ID, 1}
    (link,) = next(span for span in chains if span.context.trace_id == 1).links
    assert link.context.trace_id == TRACE_ID


def forms(number: str, reporter: str, key: bytes) -> list[str]:
    """Ways in which a number and its reporter could be told."""
    parsed = parse(number)
    texts = [number, number[1:], number[3:], str(parsed.key), f"{parsed.key:x}", reporter]
    for text in (number, number[1:], number[3:], str(parsed.key), reporter):
        for made in (
            hashlib.sha256(text.encode()),
            hashlib.sha1(text.encode()),
            hashlib.md5(text.encode()),
            hmac.new(key, text.encode(), "sha256"),
        ):
            digest = made.digest()
            texts += [digest.hex()[:16], str(int.from_bytes(digest[:8], "little"))]
            texts.append(str(int.from_bytes(digest[:8], "big")))
    return texts


def test_nothing_told_holds_the_number_its_reporter_or_a_text(told, spans, number, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    sent = mark(number)
    state = ("tracestate", f"vendor={number[1:]}")
    told.submit(sent, metadata=(SENT, state))
    published(told, number)
    for call, request in (
        (told.stubs.reputation.GetReputation, reputation_pb2.GetReputationRequest(number=number)),
        (told.stubs.reputation.GetReputation, reputation_pb2.GetReputationRequest(number="139x")),
        (
            told.stubs.reputation.ExplainReputation,
            reputation_pb2.ExplainReputationRequest(number=number),
        ),
        (
            told.stubs.ingest.GetMarkStatus,
            ingest_pb2.GetMarkStatusRequest(source="app", mark_ids=[sent.mark_id]),
        ),
    ):
        try:
            call(request, metadata=(SENT, state))
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    stored = told.running.store.query(
        "SELECT reporter, mark_key, label, number FROM marks WHERE number = %(number)s",
        {"number": parse(number).key},
    )
    secrets = [
        *forms(number, REPORTER, (told.folder / "key").read_bytes()),
        *(str(stored[name][0].as_py()) for name in ("reporter", "mark_key", "label", "number")),
        *(f"{stored[name][0].as_py():x}" for name in ("reporter", "mark_key", "number")),
        MARK_ID, LABEL, "139x",
    ]  # fmt: skip

    assert len(spans.get_finished_spans()) > 20
    everything = "\n".join(span.to_json() for span in spans.get_finished_spans())
    everything += told.text() + caplog.text + "".join(capfd.readouterr())

    assert not [secret for secret in secrets if secret in everything]


def test_without_a_sampled_trace_nothing_is_traced(told, spans, number):
    told.submit(mark(number))
    told.submit(mark(f"+86{next(_places)}"), metadata=(UNSAMPLED,))

    assert not spans.get_finished_spans()


def test_calls_are_counted_by_method_and_status(told, number):
    stub = told.stubs.reputation
    before = calls(told.text())

    for asked in (number, number, "139x"):
        try:
            stub.GetReputation(reputation_pb2.GetReputationRequest(number=asked))
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT

    after = calls(told.text())
    more = {status: after[status] - before.get(status, 0) for status in after}
    assert more == {"OK": 2, "INVALID_ARGUMENT": 1}


def calls(text: str) -> dict[str, float]:
    """Counted calls of GetReputation, by status."""
    name, method = f"{names.CALLS.text_name}_count", "ReputationService/GetReputation"
    rows = [row for row in text.splitlines() if row.startswith(name) and f'{method}"' in row]
    return {row.split('status_code="')[1].split('"')[0]: float(row.split()[-1]) for row in rows}


def test_gauges_tell_what_waits_and_what_is_published(told, number):
    published_before = samples(told.text())
    told.submit(mark(number))
    before = samples(told.text())

    published(told, number)

    after = samples(told.text())
    assert before[names.CHANGES_WAITING.text_name] >= 1
    assert before[names.CHANGES_AGE.text_name] > 0
    assert after[names.CHANGES_WAITING.text_name] == after[names.CHANGES_AGE.text_name] == 0
    for name in (names.PUBLISHED_NUMBERS.text_name, names.PUBLISHED_VERSION.text_name):
        assert after[name] > published_before[name]
    assert after[f"{names.FRESHNESS.text_name}_count"] >= 1
    assert after[names.QUEUE_ROWS.text_name] == 0


def samples(text: str) -> dict[str, float]:
    """Value of each sample, by name; of several series the last."""
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    return {row.split("{")[0].split()[0]: float(row.split()[-1]) for row in rows}

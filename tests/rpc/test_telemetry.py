"""What running services tell of themselves, and what they never tell."""

import hashlib
import hmac
import logging
import urllib.request
from collections.abc import Iterator

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.common.clock import wall_clock_ms
from services.common.numbering import parse
from services.common.telemetry import Settings, names
from services.common.telemetry.provider import RunningTelemetry
from services.reputation.publisher import Publisher
from tests.services_in_process import InProcess, in_process
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import reputation_pb2

NUMBER = "+8613912345678"
REPORTER = "reporter-of-the-traced-mark"
MARK_ID = "mark-id-of-the-traced-mark"
LABEL = "诈骗电话"
TRACE_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736
SENT = ("traceparent", f"00-{TRACE_ID:032x}-00f067aa0ba902b7-01")
UNSAMPLED = ("traceparent", f"00-{TRACE_ID:032x}-00f067aa0ba902b7-00")
STATE = ("tracestate", "vendor=13912345678")


class Told:
    """Running services and what they have told."""

    def __init__(self, running: InProcess, telemetry: RunningTelemetry) -> None:
        self.running, self._telemetry = running, telemetry
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


def mark(number: str = NUMBER, mark_id: str = MARK_ID) -> ingest_pb2.Mark:
    found = ingest_pb2.Mark(mark_id=mark_id, number=number, label=LABEL, reporter=REPORTER)
    found.occurred_time.FromMilliseconds(wall_clock_ms() - 60_000)
    return found


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def told(chdb_path, tmp_path, spans) -> Iterator[Told]:
    telemetry = RunningTelemetry(
        Settings(metrics_address="127.0.0.1:0", trace_ratio=0), "all", spans
    )
    with in_process(
        chdb_path, tmp_path, clock=wall_clock_ms, follow=False, telemetry=telemetry
    ) as running:
        yield Told(running, telemetry)


def published(told: Told, number: str = NUMBER) -> None:
    """Publish what was touched, as the publisher's thread does."""
    followers = told.running.application._followers
    publisher = next(found for found in followers if isinstance(found, Publisher))
    while publisher.publish_changes(wait_s=0):
        pass
    asked = reputation_pb2.GetReputationRequest(number=number)
    assert told.stubs.reputation.GetReputation(asked).mark_count == 1


def test_a_trace_shows_a_mark_from_ingest_to_reputation_without_a_gap(told, spans):
    told.submit(mark(), metadata=(SENT,))
    published(told)

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


def test_two_traced_marks_in_one_batch_each_have_their_chain(told, spans):
    other = ("traceparent", f"00-{1:032x}-00f067aa0ba902b7-01")

    told.submit(mark(), metadata=(SENT,))
    told.submit(mark("+8613912345679", "another"), metadata=(other,))
    published(told)

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


def test_nothing_told_holds_the_number_its_reporter_or_a_text(
    told, spans, tmp_path, caplog, capfd
):
    caplog.set_level(logging.DEBUG)
    told.submit(mark(), metadata=(SENT, STATE))
    published(told)
    for call, request in (
        (told.stubs.reputation.GetReputation, reputation_pb2.GetReputationRequest(number=NUMBER)),
        (told.stubs.reputation.GetReputation, reputation_pb2.GetReputationRequest(number="139x")),
        (
            told.stubs.reputation.ExplainReputation,
            reputation_pb2.ExplainReputationRequest(number=NUMBER),
        ),
        (
            told.stubs.ingest.GetMarkStatus,
            ingest_pb2.GetMarkStatusRequest(source="app", mark_ids=[MARK_ID]),
        ),
    ):
        try:
            call(request, metadata=(SENT, STATE))
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    stored = told.running.store.query("SELECT reporter, mark_key, label, number FROM marks")
    secrets = [
        *forms(NUMBER, REPORTER, (tmp_path / "key").read_bytes()),
        *(str(stored[name][0].as_py()) for name in ("reporter", "mark_key", "label", "number")),
        *(f"{stored[name][0].as_py():x}" for name in ("reporter", "mark_key", "number")),
        MARK_ID, LABEL, "139x",
    ]  # fmt: skip

    assert len(spans.get_finished_spans()) > 20
    everything = "\n".join(span.to_json() for span in spans.get_finished_spans())
    everything += told.text() + caplog.text + "".join(capfd.readouterr())

    assert not [secret for secret in secrets if secret in everything]


def test_without_a_sampled_trace_nothing_is_traced(told, spans):
    told.submit(mark())
    told.submit(mark(mark_id="second"), metadata=(UNSAMPLED,))

    assert not spans.get_finished_spans()


def test_chance_chooses_calls_to_trace(chdb_path, tmp_path, spans):
    telemetry = RunningTelemetry(Settings(trace_ratio=0.5), "all", spans, iter([0.4, 0.6]).__next__)
    with in_process(
        chdb_path, tmp_path, clock=wall_clock_ms, follow=False, telemetry=telemetry
    ) as running:
        for _ in range(2):
            running.stubs.reputation.GetVersion(reputation_pb2.GetVersionRequest())

    names_ = [span.name for span in spans.get_finished_spans()]
    assert names_ == ["zhengming.reputation.v1.ReputationService/GetVersion"]


def test_calls_are_counted_by_method_and_status(told):
    stub = told.stubs.reputation
    for number in (NUMBER, NUMBER, "139x"):
        try:
            stub.GetReputation(reputation_pb2.GetReputationRequest(number=number))
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT

    text = told.text()

    method = 'rpc_method="zhengming.reputation.v1.ReputationService/GetReputation"'
    counted = [line for line in text.splitlines() if "call_duration_seconds_count" in line]
    mine = {line for line in counted if method in line}
    assert {line.split()[-1] for line in mine if 'status_code="OK"' in line} == {"2.0"}
    assert {line.split()[-1] for line in mine if 'status_code="INVALID_ARGUMENT"' in line} == {
        "1.0"
    }


def test_gauges_tell_what_waits_and_what_is_published(told):
    told.submit(mark())
    before = samples(told.text())

    published(told)

    after = samples(told.text())
    assert before[names.CHANGES_WAITING.text_name] == 1
    assert before[names.CHANGES_AGE.text_name] > 0
    assert after[names.CHANGES_WAITING.text_name] == after[names.CHANGES_AGE.text_name] == 0
    assert after[names.PUBLISHED_NUMBERS.text_name] == 1
    assert after[f"{names.FRESHNESS.text_name}_count"] == 1
    assert after[names.QUEUE_ROWS.text_name] == 0


def samples(text: str) -> dict[str, float]:
    """Value of each sample, by name; of several series the last."""
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    return {row.split("{")[0].split()[0]: float(row.split()[-1]) for row in rows}

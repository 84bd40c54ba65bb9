"""The interceptor before every handler, on a server of its own."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.common import rpc
from services.common.errors import NotFound, Unavailable
from services.common.telemetry import OFF, Settings, names
from services.common.telemetry.provider import RunningTelemetry

ROOT = Path(__file__).parents[2]
SENT = ("traceparent", f"00-{7:032x}-00f067aa0ba902b7-01")
ECHO, FAIL, STREAM = "/test.Test/Echo", "/test.Test/Fail", "/test.Test/Stream"


def _fail(request: bytes, context: grpc.ServicerContext) -> bytes:
    raise NotFound("SOURCE_NOT_FOUND", "nothing is known of 13912345678")


def _stream(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    yield request
    raise ZeroDivisionError("13912345678")


def register(server: grpc.Server) -> None:
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
        "Fail": grpc.unary_unary_rpc_method_handler(_fail),
        "Stream": grpc.unary_stream_rpc_method_handler(_stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def served(telemetry: RunningTelemetry) -> Iterator[grpc.Channel]:
    running = rpc.start([register], [rpc.Door("127.0.0.1:0")], watch=telemetry.interceptor())
    with rpc.connect(f"127.0.0.1:{running.port}") as channel:
        yield channel
    running.stop(0)
    telemetry.stop()


@pytest.fixture
def channel(spans) -> Iterator[grpc.Channel]:
    yield from served(RunningTelemetry(Settings(trace_ratio=0), "test", spans))


def test_chance_chooses_which_calls_are_traced(spans):
    chances = iter([0.4, 0.6])
    telemetry = RunningTelemetry(Settings(trace_ratio=0.5), "test", spans, chances.__next__)
    for channel in served(telemetry):
        for _ in range(2):
            channel.unary_unary(ECHO)(b"x")

    assert [span.name for span in spans.get_finished_spans()] == ["test.Test/Echo"]


def test_a_failed_call_shows_its_status_and_never_its_message(channel, spans):
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(FAIL)(b"x", metadata=(SENT,))

    (span,) = spans.get_finished_spans()
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert span.attributes[names.STATUS] == "NOT_FOUND"
    assert "13912345678" not in span.to_json()
    assert span.parent.span_id == 0x00F067AA0BA902B7


def test_a_stream_that_fails_halfway_is_one_failed_call(channel, spans):
    with pytest.raises(grpc.RpcError) as caught:
        list(channel.unary_stream(STREAM)(b"x", metadata=(SENT,)))

    (span,) = spans.get_finished_spans()
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert span.attributes[names.STATUS] == "INTERNAL"
    assert not span.status.is_ok
    assert "13912345678" not in span.to_json()


@pytest.mark.parametrize("text", ["", "00-0-0-01", f"00-{0:032x}-{0:016x}-01", "x" * 5000])
def test_a_header_that_is_no_trace_is_ignored(channel, spans, text):
    assert channel.unary_unary(ECHO)(b"x", metadata=(("traceparent", text),)) == b"x"

    assert not spans.get_finished_spans()


def test_health_is_answered_behind_the_interceptor(channel):
    health = health_pb2_grpc.HealthStub(channel)

    assert health.Check(health_pb2.HealthCheckRequest()).status == 1


class Collector(
    trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer
):
    """Takes what is pushed by OTLP."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def Export(self, request, context):
        if hasattr(request, "resource_spans"):
            for resource in request.resource_spans:
                self.names += [s.name for scope in resource.scope_spans for s in scope.spans]
            return trace_service_pb2.ExportTraceServiceResponse()
        for resource in request.resource_metrics:
            self.names += [m.name for scope in resource.scope_metrics for m in scope.metrics]
        return metrics_service_pb2.ExportMetricsServiceResponse()


def test_traces_and_metrics_are_pushed_to_a_collector_before_the_end():
    taken = Collector()
    collector = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(taken, collector)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(taken, collector)
    port = collector.add_insecure_port("127.0.0.1:0")
    collector.start()
    settings = Settings(otlp_endpoint=f"http://127.0.0.1:{port}", trace_ratio=0)

    for channel in served(RunningTelemetry(settings, "test")):
        channel.unary_unary(ECHO)(b"x", metadata=(SENT,))

    collector.stop(0)
    assert "test.Test/Echo" in taken.names
    assert names.CALLS.name in taken.names


def test_without_telemetry_nothing_stands_before_the_handlers():
    assert OFF.interceptor() is None


def test_without_telemetry_neither_the_sdk_nor_an_exporter_is_loaded():
    program = (
        "import sys, services.__main__, services.lookups;"
        "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'prometheus'))])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_an_address_in_use_is_named():
    first = RunningTelemetry(Settings(metrics_address="127.0.0.1:0"), "test")
    address = f"127.0.0.1:{first.metrics_port}"

    with pytest.raises(Unavailable) as caught:
        RunningTelemetry(Settings(metrics_address=address), "test")

    assert caught.value.reason == "ADDRESS_IN_USE"
    first.stop()

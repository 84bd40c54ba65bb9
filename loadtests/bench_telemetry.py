"""What telemetry costs a lookup: python -m loadtests.bench_telemetry [--numbers N]."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import psutil
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from loadtests import published_state
from loadtests.bench_serving import THREADS, line
from loadtests.servers import started
from services.common import rpc
from services.common.telemetry import Settings, names
from services.common.telemetry.histogram import Durations
from services.common.telemetry.provider import RunningTelemetry
from zhengming.reputation.v1 import reputation_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2_grpc as pb_grpc

RECORDED = 200_000
ROUNDS = 9


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Takes metrics."""

    def Export(self, request: Any, context: Any) -> Any:
        return metrics_service_pb2.ExportMetricsServiceResponse()


class _Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans and counts them."""

    count = 0

    def Export(self, request: Any, context: Any) -> Any:
        self.count += sum(len(s.spans) for r in request.resource_spans for s in r.scope_spans)
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def collector():
    """A running collector, and its address."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    taking = _Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(taking, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield taking, f"http://127.0.0.1:{port}"
    server.stop(None)


def lookups(numbers: int, folder: Path) -> None:
    """GetReputation without telemetry, and with metrics alone and with metrics and traces."""
    keys = published_state.write(folder / "published", numbers)
    texts = [f"+{int(key) & (2**60 - 1)}" for key in np.random.default_rng(1).choice(keys, 10_000)]
    requests = [pb.GetReputationRequest(number=text) for text in texts]
    plain = {
        "ZHENGMING_PUBLISHED": str(folder / "published"),
        "ZHENGMING_ADDRESS": "127.0.0.1:0",
    }
    with collector() as (taking, endpoint):
        metrics = {**plain, "ZHENGMING_METRICS_ADDRESS": "127.0.0.1:0"}
        both = {**metrics, "ZHENGMING_OTLP_ENDPOINT": endpoint}
        arguments = ["-m", "services", "lookup"]
        with (
            started(arguments, plain) as off,
            started(arguments, metrics) as counted,
            started(arguments, both) as traced,
        ):
            servers = [_Server(process, address) for process, address in (off, counted, traced)]
            for server in servers:
                server.cost_us(requests)
            rounds = [costs_us(servers, requests, turn) for turn in range(ROUNDS)]
        for at, what in ((1, "metrics"), (2, "metrics, and 1 % traced")):
            ratio = statistics.median(found[at] / found[0] for found in rounds)
            mine, theirs = (statistics.median(f[i] for f in rounds) for i in (at, 0))
            line(
                f"processor time of a lookup with {what}",
                f"{mine:.0f} us beside {theirs:.0f} us",
                f"ratio {ratio:.3f} of one without (bar 1.03)",
            )
        line("spans that the collector got", f"{taking.count:,}")


def costs_us(
    servers: list["_Server"], requests: list[pb.GetReputationRequest], turn: int
) -> list[float]:
    """What a call costs each server: who is asked after whom changes with the turn."""
    found = [0.0] * len(servers)
    for at in np.random.default_rng(turn).permutation(len(servers)).tolist():
        found[at] = servers[at].cost_us(requests)
    return found


class _Server:
    """A server of lookups, and the time that its own processes use of the machine."""

    def __init__(self, process: psutil.Process, address: str) -> None:
        self._processes = [process, *process.children()]
        self._channel = grpc.insecure_channel(address)
        self._stub = pb_grpc.ReputationServiceStub(self._channel)

    def cost_us(self, requests: list[pb.GetReputationRequest]) -> float:
        """Microseconds of processor time a call."""
        before = self._used_s()
        with futures.ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(self._stub.GetReputation, requests):
                pass
        return (self._used_s() - before) / len(requests) * 1e6

    def _used_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)


def recording() -> None:
    """One value into our histogram and into the SDK's."""
    ours = Durations(names.CALLS, 0).series("m", "OK")
    meter = MeterProvider([InMemoryMetricReader()]).get_meter("bench")
    theirs, attributes = meter.create_histogram("h", "s"), {names.METHOD: "m", names.STATUS: "OK"}
    pairs = [
        (
            _nanoseconds(lambda: ours.add(1e-4)),
            _nanoseconds(lambda: theirs.record(1e-4, attributes)),
        )
        for _ in range(ROUNDS)
    ]
    mine, sdk = (statistics.median(side) for side in zip(*pairs, strict=True))
    line(
        "a duration recorded, beside the SDK's histogram",
        f"{mine:,.0f} ns beside {sdk:,.0f} ns",
        f"ratio {statistics.median(a / b for a, b in pairs):.2f}",
    )


def wrapping() -> None:
    """What stands before a handler that does nothing, with telemetry and without."""
    errors = rpc.ErrorInterceptor()
    settings = Settings(trace_ratio=0.01)
    telemetry = RunningTelemetry(settings, "bench", InMemorySpanExporter(), lambda: 1.0)
    watch = telemetry.interceptor()
    assert watch is not None
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    details = _Details("/bench.Bench/Call", (("user-agent", "grpc-python/1.85"),))

    def behind_errors(asked: Any) -> Any:
        return errors.intercept_service(lambda _: handler, asked)

    def without() -> Any:
        return behind_errors(details).unary_unary(b"", None)

    def with_telemetry() -> Any:
        return watch.intercept_service(behind_errors, details).unary_unary(b"", None)

    pairs = [(_nanoseconds(with_telemetry), _nanoseconds(without)) for _ in range(ROUNDS)]
    mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    line(
        "before a handler with telemetry, beside without",
        f"{mine:,.0f} ns beside {theirs:,.0f} ns",
        f"{statistics.median(a - b for a, b in pairs) / 1000:.1f} us more",
    )


class _Details(NamedTuple):
    method: str
    invocation_metadata: tuple[tuple[str, str], ...]


def _nanoseconds(call: Callable[[], Any]) -> float:
    begun = time.perf_counter_ns()
    for _ in range(RECORDED):
        call()
    return (time.perf_counter_ns() - begun) / RECORDED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, default=200_000)
    chosen = parser.parse_args()
    recording()
    wrapping()
    with tempfile.TemporaryDirectory() as folder:
        lookups(chosen.numbers, Path(folder))


if __name__ == "__main__":
    main()

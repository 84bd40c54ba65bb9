"""The telemetry of a process: the SDK set up once, and what the services tell it."""

import os
import random
import socket
import time
from collections.abc import Callable, Iterable

import flask
import grpc
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter

from services.common.store import Store
from services.common.telemetry import names
from services.common.telemetry.calls import CallInterceptor
from services.common.telemetry.histogram import Durations
from services.common.telemetry.names import Instrument, Kind
from services.common.telemetry.off import Telemetry
from services.common.telemetry.outgoing import TraceInterceptor
from services.common.telemetry.process import process_values
from services.common.telemetry.readers import PrometheusEndpoint, PushingReader
from services.common.telemetry.readings import Read, Readings
from services.common.telemetry.requests import observe_pages
from services.common.telemetry.settings import Settings
from services.common.telemetry.statements import ObservedStore
from services.common.telemetry.traces import Traces

SCOPE = "zhengming"
PROCESS_EVERY_S = 5.0


class RunningTelemetry(Telemetry):
    """What a process tells of itself."""

    def __init__(
        self,
        settings: Settings,
        service: str,
        spans: SpanExporter | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Begin to tell.

        Args:
            settings: to whom.
            service: name of what runs in this process.
            spans: where spans go besides, at once.
            chance: in [0, 1), for the share of calls that are traced.

        Raises:
            Unavailable: ADDRESS_IN_USE.
        """
        super().__init__()
        self._settings, self._chance = settings, chance
        self.is_on = True
        self._tracing: TracerProvider | None = None
        self._measuring: MeterProvider | None = None
        self._endpoint: PrometheusEndpoint | None = None
        start_ns = time.time_ns()
        self._durations = {
            instrument: Durations(instrument, start_ns)
            for instrument in names.ALL
            if instrument.kind is Kind.HISTOGRAM
        }
        self._readings = Readings(lambda name: self.count(names.READING_FAILURES, 1, name))
        resource = Resource.create(
            {
                "service.namespace": "zhengming",
                "service.name": service,
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            }
        )
        if settings.otlp_endpoint or spans is not None:
            self._tracing = TracerProvider(resource=resource)
            if settings.otlp_endpoint:
                exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint)
                self._tracing.add_span_processor(BatchSpanProcessor(exporter))
            if spans is not None:
                self._tracing.add_span_processor(SimpleSpanProcessor(spans))
        self.traces = Traces(None if self._tracing is None else self._tracing.get_tracer(SCOPE))
        readers: list[MetricReader] = []
        if settings.otlp_endpoint:
            pushed = OTLPMetricExporter(endpoint=settings.otlp_endpoint)
            readers.append(PushingReader(pushed, self._durations.values()))
        if settings.metrics_address:
            self._endpoint = PrometheusEndpoint(settings.metrics_address, self._durations.values())
            self.metrics_port = self._endpoint.port
            readers.append(self._endpoint.reader)
        if readers:
            self._measuring = MeterProvider(readers, resource)
            self._make_instruments(self._measuring)
            self.observe("process", process_values, PROCESS_EVERY_S)

    def _make_instruments(self, measuring: MeterProvider) -> None:
        meter = measuring.get_meter(SCOPE)
        self._counters = {
            i: meter.create_counter(i.name, i.unit, i.meaning)
            for i in names.ALL
            if i.kind is Kind.COUNTER
        }
        for i in names.ALL:
            if i.kind is Kind.GAUGE:
                meter.create_observable_gauge(i.name, [self._observer(i)], i.unit, i.meaning)
            elif i.kind is Kind.TOTAL:
                meter.create_observable_counter(i.name, [self._observer(i)], i.unit, i.meaning)

    def _observer(
        self, instrument: Instrument
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            found = self._readings.values(instrument)
            return [Observation(value, attributes) for value, attributes in found]

        return observe

    # ---- what the services tell ---------------------------------------------------------------

    def count(self, instrument: Instrument, amount: float, *values: str) -> None:
        """Add to a counter, by the values of its attributes."""
        if self._measuring is not None:
            attributes = dict(zip(instrument.attributes, values, strict=True))
            self._counters[instrument].add(amount, attributes)

    def record(self, instrument: Instrument, seconds: float, *values: str) -> None:
        """Record a duration, by the values of the histogram's attributes."""
        if self._measuring is not None:
            self._durations[instrument].series(*values).add(seconds)

    def expect(self, instrument: Instrument, *values: str) -> None:
        """See Telemetry.expect."""
        if instrument.kind is Kind.HISTOGRAM:
            self._durations[instrument].series(*values)
        else:
            self.count(instrument, 0, *values)

    def observe(self, name: str, read: Read, every_s: float) -> None:
        """Read gauges every so many seconds, in a thread of their own."""
        if self._measuring is not None:
            self._readings.add(name, read, every_s)
            self.expect(names.READING_FAILURES, name)

    # ---- what is wrapped ----------------------------------------------------------------------

    def interceptor(self) -> grpc.ServerInterceptor | None:
        """What stands before every handler."""
        return CallInterceptor(
            self._durations[names.CALLS], self.traces, self._settings.trace_ratio, self._chance
        )

    def channel(self, channel: grpc.Channel) -> grpc.Channel:
        """A channel that carries traces on."""
        if not self.traces.is_on:
            return channel
        return grpc.intercept_channel(channel, TraceInterceptor(self.traces))

    def store(self, store: Store) -> Store:
        """A store whose statements are told."""
        return ObservedStore(store, self._durations[names.STATEMENTS], self.traces)

    def pages(self, app: flask.Flask) -> None:
        """Have the requests of an application told."""
        if self._measuring is not None:
            observe_pages(app, self._durations[names.PAGES])

    # ---- life cycle ---------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to read gauges, once all are known."""
        if self._measuring is not None:
            self._readings.start()

    def read(self) -> None:
        """Read all gauges now."""
        self._readings.read()

    def stop_reading(self) -> None:
        """Read no gauge any more: what they are read from is about to close."""
        self._readings.stop()

    def stop(self) -> None:
        """Tell the last of it, and stop."""
        self.stop_reading()
        if self._tracing is not None:
            self._tracing.shutdown()
        if self._measuring is not None:
            self._measuring.shutdown()
        if self._endpoint is not None:
            self._endpoint.stop()

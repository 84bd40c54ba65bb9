"""How metrics leave: pushed to a collector, or fetched by Prometheus. Both get our histograms too.

The SDK asks its readers to hand on what it has collected (`_receive_metrics`, the hook that every
reader overrides); the histograms that it does not keep are added there.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricsData,
    PeriodicExportingMetricReader,
)
from prometheus_client import CollectorRegistry, start_http_server

from services.common.errors import Unavailable
from services.common.telemetry.histogram import Durations

PUSH_EVERY_MS = 15_000


def with_durations(collected: MetricsData, durations: Iterable[Durations]) -> MetricsData:
    """What the SDK collected, and our histograms in the same scope."""
    now_ns = time.time_ns()
    found = [metric for d in durations if (metric := d.read(now_ns)) is not None]
    if not found or not collected.resource_metrics:
        return collected
    resource, *others = collected.resource_metrics
    if not resource.scope_metrics:
        return collected
    scope, *rest = resource.scope_metrics
    more = replace(scope, metrics=[*scope.metrics, *found])
    return MetricsData([replace(resource, scope_metrics=[more, *rest]), *others])


class PushingReader(PeriodicExportingMetricReader):
    """Pushes to a collector, every 15 s."""

    def __init__(self, exporter: MetricExporter, durations: Iterable[Durations]) -> None:
        self._durations = tuple(durations)
        super().__init__(exporter, PUSH_EVERY_MS)

    def _receive_metrics(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> None:
        more = with_durations(metrics_data, self._durations)
        super()._receive_metrics(more, timeout_millis, **kwargs)


class _TextReader(PrometheusMetricReader):
    def __init__(self, registry: CollectorRegistry, durations: Iterable[Durations]) -> None:
        self._durations = tuple(durations)
        super().__init__(registry=registry, scope_info_enabled=False)

    def _receive_metrics(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> None:
        more = with_durations(metrics_data, self._durations)
        super()._receive_metrics(more, timeout_millis, **kwargs)


class PrometheusEndpoint:
    """Serves the metrics as Prometheus's text, over HTTP in clear."""

    def __init__(self, address: str, durations: Iterable[Durations]) -> None:
        """Listen on an address such as "127.0.0.1:9464"; port 0 takes a free one.

        Raises:
            Unavailable: ADDRESS_IN_USE.
        """
        registry = CollectorRegistry()
        self.reader = _TextReader(registry, durations)
        host, _, port = address.rpartition(":")
        try:
            self._server, self._thread = start_http_server(
                int(port), host.strip("[]") or "0.0.0.0", registry
            )
        except (OSError, OverflowError) as error:
            raise Unavailable(
                "ADDRESS_IN_USE",
                f"metrics cannot be served on {address}: is it in use?",
                address=address,
            ) from error
        self.port = int(self._server.server_port)

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

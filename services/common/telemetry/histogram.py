"""Histograms that cost a lookup next to nothing: counted in place, read when somebody collects.

The SDK's own take several times as long for each recorded value (loadtests/bench_telemetry.py),
and the SDK has no histogram that is read at collection.
"""

import math
import threading
from bisect import bisect_left
from collections.abc import Mapping

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
)

from services.common.telemetry.names import Instrument

BOUNDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0,
    5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
)  # fmt: skip
"""Upper limits in seconds, inclusive: a lookup takes 0.1 ms, a job half an hour. 0.02 s and 2 s
are the bars of p99 for a lookup and for what is published."""


class Series:
    """Counts of one set of attributes."""

    __slots__ = ("_counts", "_lock", "_sum")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one value."""
        at = bisect_left(BOUNDS, seconds)
        with self._lock:
            self._counts[at] += 1
            self._sum += seconds

    def read(self) -> tuple[list[int], float]:
        """Counts by bucket, and the sum of all values in seconds."""
        with self._lock:
            return list(self._counts), self._sum


class Durations:
    """All series of one histogram."""

    def __init__(self, instrument: Instrument, start_ns: int) -> None:
        self.instrument, self._start_ns = instrument, start_ns
        self._lock = threading.Lock()
        self._series: dict[tuple[str, ...], Series] = {}

    def series(self, *values: str) -> Series:
        """The series of these values of the instrument's attributes."""
        found = self._series.get(values)
        if found is None:
            with self._lock:
                found = self._series.setdefault(values, Series())
        return found

    def read(self, now_ns: int) -> Metric | None:
        """As the SDK's exporters take it; None before the first value."""
        with self._lock:
            series = list(self._series.items())
        points = []
        for values, found in series:
            counts, total = found.read()
            attributes: Mapping[str, str] = dict(
                zip(self.instrument.attributes, values, strict=True)
            )
            points.append(
                HistogramDataPoint(
                    attributes=attributes,
                    start_time_unix_nano=self._start_ns,
                    time_unix_nano=now_ns,
                    count=sum(counts),
                    sum=total,
                    bucket_counts=counts,
                    explicit_bounds=BOUNDS,
                    min=math.inf,  # not kept, as the SDK says it
                    max=-math.inf,
                )
            )
        if not points:
            return None
        return Metric(
            name=self.instrument.name,
            description=self.instrument.meaning,
            unit=self.instrument.unit,
            data=Histogram(points, AggregationTemporality.CUMULATIVE),
        )

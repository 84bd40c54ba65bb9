"""A process that tells nothing: what the services talk to unless telemetry was asked for.

Neither the SDK nor an exporter is loaded for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.common.telemetry.names import Instrument
from services.common.telemetry.traces import Traces

if TYPE_CHECKING:
    import flask
    import grpc

    from services.common.store import Store
    from services.common.telemetry.readings import Read


class Telemetry:
    """What the services tell of themselves; here it goes nowhere."""

    is_on = False
    metrics_port = 0
    """Where Prometheus finds the metrics; 0 nowhere."""

    def __init__(self) -> None:
        self.traces = Traces(None)

    # ---- what the services tell ---------------------------------------------------------------

    def count(self, instrument: Instrument, amount: float, *values: str) -> None:
        """Add to a counter, by the values of its attributes."""

    def record(self, instrument: Instrument, seconds: float, *values: str) -> None:
        """Record a duration, by the values of the histogram's attributes."""

    def expect(self, instrument: Instrument, *values: str) -> None:
        """Show a counter or histogram as 0 before anything happened: whoever watches its increase
        must have seen it before the first time."""

    def observe(self, name: str, read: Read, every_s: float) -> None:
        """Read gauges every so many seconds, in a thread of their own."""

    # ---- what is wrapped ----------------------------------------------------------------------

    def interceptor(self) -> grpc.ServerInterceptor | None:
        """What stands before every handler; None while nothing is told."""
        return None

    def channel(self, channel: grpc.Channel) -> grpc.Channel:
        """A channel that carries traces on."""
        return channel

    def store(self, store: Store) -> Store:
        """A store whose statements are told."""
        return store

    def pages(self, app: flask.Flask) -> None:
        """Have the requests of an application told."""

    # ---- life cycle ---------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to read gauges, once all are known."""

    def read(self) -> None:
        """Read all gauges now."""

    def stop_reading(self) -> None:
        """Read no gauge any more: what they are read from is about to close."""

    def stop(self) -> None:
        """Tell the last of it, and stop."""


OFF = Telemetry()
"""Tells nothing."""

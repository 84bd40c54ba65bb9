"""Gauges: read by a thread of their own; neither a scrape nor a call waits for the store."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from services.common.telemetry.names import Instrument

log = logging.getLogger(__name__)

TICK_S = 5.0
STALE = 4
"""A reading older than so many of its periods is no longer told."""


@dataclass(frozen=True)
class Value:
    """One value of a gauge, by the values of its attributes in their order."""

    instrument: Instrument
    value: float
    attributes: tuple[str, ...] = ()


Read = Callable[[], Iterable[Value]]


@dataclass
class _Reading:
    name: str
    read: Read
    every_s: float
    values: tuple[Value, ...] = ()
    read_at: float = field(default=float("-inf"))


class Readings:
    """All gauges of a process."""

    def __init__(self, failed: Callable[[str], None]) -> None:
        """Nothing is read yet.

        Args:
            failed: told the name of a reading that raised.
        """
        self._failed = failed
        self._readings: list[_Reading] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, name: str, read: Read, every_s: float) -> None:
        """Read some gauges every so many seconds."""
        self._readings.append(_Reading(name, read, every_s))

    def start(self) -> None:
        """Read in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop reading; a reading under way is waited for."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def read(self, is_due: Callable[[float, float], bool] = lambda age_s, every_s: True) -> None:
        """Read what is due, by default everything."""
        for reading in list(self._readings):
            if self._stopping.is_set():
                return
            now = time.monotonic()
            if not is_due(now - reading.read_at, reading.every_s):
                continue
            try:
                reading.values = tuple(reading.read())
            except Exception:
                if reading.values or reading.read_at == float("-inf"):
                    log.exception("gauges could not be read", extra={"reading": reading.name})
                reading.values = ()
                self._failed(reading.name)
            reading.read_at = now

    def values(self, instrument: Instrument) -> list[tuple[float, Mapping[str, str]]]:
        """Present values of a gauge with their attributes."""
        now = time.monotonic()
        return [
            (value.value, dict(zip(instrument.attributes, value.attributes, strict=True)))
            for reading in list(self._readings)
            if now - reading.read_at <= STALE * max(reading.every_s, TICK_S)
            for value in reading.values
            if value.instrument is instrument
        ]

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.read(lambda age_s, every_s: age_s >= every_s)
            self._stopping.wait(TICK_S)

"""How far what is published lags behind what was committed, and whether answers are to say so.

A process that reaches the store looks now and then. In a folder of the published state the time of
one empty file tells the others: it is the moment up to which everything is known to be published.
"""

import time
from pathlib import Path

STALE_S = 60.0
"""Answers are marked stale from this age on; publishing takes seconds where all is well."""
FILE = "current.time"


class Currency:
    """The age of what this process answers; unknown before anybody has looked.

    Ages are by the monotonic clock, so that a step of the wall clock makes nothing stale.
    """

    def __init__(self, stale_s: float = STALE_S) -> None:
        self.stale_s = stale_s
        self._current_at: float | None = None

    def note(self, age_s: float) -> None:
        """Everything that was committed so long ago is published."""
        self._current_at = time.monotonic() - age_s

    @property
    def age_s(self) -> float | None:
        """Seconds since everything was known to be published; None where nothing is known."""
        current_at = self._current_at
        return None if current_at is None else max(time.monotonic() - current_at, 0.0)

    @property
    def is_stale(self) -> bool:
        """Whether answers are to say that something may be missing."""
        current_at = self._current_at
        return current_at is not None and time.monotonic() - current_at > self.stale_s


class Told:
    """Reads the file's time for a process that reaches no store."""

    def __init__(self, folder: Path, currency: Currency) -> None:
        self._path, self._currency, self._seen_ns = folder / FILE, currency, 0

    def look(self) -> None:
        """Take over what the file says, if it says anything new."""
        try:
            told_ns = self._path.stat().st_mtime_ns
        except OSError:
            return
        if told_ns != self._seen_ns:
            self._seen_ns = told_ns
            self._currency.note(max(time.time_ns() - told_ns, 0) / 1e9)

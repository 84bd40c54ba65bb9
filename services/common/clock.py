"""The time, as a value that is handed in."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns now as epoch milliseconds UTC."""


def wall_clock_ms() -> int:
    """Return the machine's time, epoch milliseconds UTC."""
    return time.time_ns() // 1_000_000

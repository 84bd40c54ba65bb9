"""The simulated days: when they begin and end, and at which hours people call and mark."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
from numpy.typing import NDArray

DAY_S = 86_400
UTC_OFFSET_S = 8 * 3600
FAR_FUTURE_S = 2**40  # the end of a tenure that is still open
_LOCAL = timezone(timedelta(seconds=UTC_OFFSET_S))

# Hours of marking peak at 8-12 and 16-21 (china.md section 5, 360's field figures); the heights
# of the shoulders are ours.
HOUR_WEIGHTS = np.array(
    [1, 1, 1, 1, 1, 1, 3, 10, 34, 42, 44, 38, 18, 15, 20, 24, 36, 38, 36, 40, 34, 14, 6, 2],
    dtype=np.float64,
)
# Monday to Sunday; Tuesday is the highest day (china.md section 5), the other heights are ours.
WEEKDAY_WEIGHTS = np.array([1.05, 1.18, 1.08, 1.05, 1.02, 0.85, 0.77])


@dataclass(frozen=True)
class Window:
    """Whole days in UTC+8, `days` of them, up to and without `end`."""

    end: date
    days: int

    @property
    def start_s(self) -> int:
        """The first midnight (UTC+8), epoch seconds."""
        return self.end_s - self.days * DAY_S

    @property
    def end_s(self) -> int:
        """The last midnight (UTC+8), exclusive, epoch seconds."""
        midnight = datetime(self.end.year, self.end.month, self.end.day, tzinfo=_LOCAL)
        return int(midnight.astimezone(UTC).timestamp())

    @property
    def day_names(self) -> list[str]:
        """Every day as YYYY-MM-DD."""
        first = self.end - timedelta(days=self.days)
        return [(first + timedelta(days=day)).isoformat() for day in range(self.days)]

    @property
    def weekdays(self) -> NDArray[np.int64]:
        """Weekday of every day, Monday 0, shape (days,)."""
        first = (self.end - timedelta(days=self.days)).weekday()
        return (first + np.arange(self.days, dtype=np.int64)) % 7

    def first_days(self, starts_s: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of the first whole day at or after each start, in [0, days]."""
        return np.clip(-((self.start_s - starts_s) // DAY_S), 0, self.days)

    def last_days(self, ends_s: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index after the last whole day before each end, in [0, days]."""
        return np.clip((ends_s - self.start_s) // DAY_S, 0, self.days)


def draw_seconds_of_day(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Seconds after midnight for `count` calls, by the hours at which people mark."""
    hours = rng.choice(24, size=count, p=HOUR_WEIGHTS / HOUR_WEIGHTS.sum())
    return np.asarray(hours * 3600 + rng.integers(0, 3600, count), dtype=np.int64)

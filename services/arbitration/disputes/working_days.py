"""Chinese working days: statutory holidays and the weekends worked in exchange for them. Pure."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache

import holidays

CHINA = timezone(timedelta(hours=8))
DAY = timedelta(days=1)


@cache
def _calendar() -> holidays.HolidayBase:
    # Its working days are those of the State Council's yearly notices up to the last one
    # published when it was released; after that, statutory holidays without exchanged weekends.
    return holidays.country_holidays("CN")


@cache
def is_working_day(day: date) -> bool:
    """Whether offices work on a day in China."""
    # Kept: a page of disputes counts the same few hundred days over and over.
    return bool(_calendar().is_working_day(day))


def day_of(time_ms: int) -> date:
    """The day in China of a time, epoch milliseconds."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(CHINA).date()


def end_of(day: date) -> int:
    """The end of a day in China, epoch milliseconds, exclusive."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=CHINA) + DAY
    return int(midnight.timestamp() * 1000)


def used(start_ms: int, now_ms: int, pauses: Sequence[tuple[int, int]] = ()) -> int:
    """Working days used up: those after the starting day up to today, less the paused ones.

    Args:
        start_ms: when the clock began; its day does not count (Civil Code art. 201).
        now_ms: the time asked about.
        pauses: (from, until) each; a day counts as paused if it lies after the day a pause began,
            up to and with the day it ended.
    """
    count, day, last = 0, day_of(start_ms) + DAY, day_of(now_ms)
    spans = [(day_of(begin), day_of(end)) for begin, end in pauses]
    while day <= last:
        if is_working_day(day) and not any(begin < day <= end for begin, end in spans):
            count += 1
        day += DAY
    return count


def deadline_ms(start_ms: int, budget_days: int, pauses: Sequence[tuple[int, int]] = ()) -> int:
    """End of the working day on which the budget is used up, epoch milliseconds, exclusive."""
    count, day = 0, day_of(start_ms)
    spans = [(day_of(begin), day_of(end)) for begin, end in pauses]
    while count < budget_days:
        day += DAY
        if is_working_day(day) and not any(begin < day <= end for begin, end in spans):
            count += 1
    return end_of(day)

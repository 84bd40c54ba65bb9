"""Quarters and months in China, of which reports tell."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from services.common.errors import InvalidArgument

CHINA = timezone(timedelta(hours=8))
WEEK_MS = 7 * 86_400_000
_QUARTER = re.compile(r"(20\d\d)Q([1-4])")
_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class Period:
    """A quarter or a month: [start_ms, end_ms), epoch milliseconds."""

    name: str
    start_ms: int
    end_ms: int

    @property
    def week_count(self) -> int:
        """Weeks begun in it."""
        return -(-(self.end_ms - self.start_ms) // WEEK_MS)


def month_of(name: str) -> tuple[Period, Period]:
    """The month of a name such as "2026-10", in China's time, and the one before it.

    Raises:
        InvalidArgument: TIME_INVALID.
    """
    year, month = _read(_MONTH, name, "month", "2026-10")
    months = year * 12 + month - 1
    before, start, end = (
        _ms(datetime(at // 12, at % 12 + 1, 1, tzinfo=CHINA))
        for at in range(months - 1, months + 2)
    )
    return Period(name, start, end), Period("", before, start)


def quarter_of(name: str) -> Period:
    """The quarter of a name such as "2026Q3", in China's time.

    Raises:
        InvalidArgument: TIME_INVALID.
    """
    year, number = _read(_QUARTER, name, "quarter", "2026Q3")
    start = datetime(year, 3 * number - 2, 1, tzinfo=CHINA)
    end = datetime(year + (number == 4), (3 * number) % 12 + 1, 1, tzinfo=CHINA)
    return Period(name, _ms(start), _ms(end))


def _read(form: re.Pattern[str], name: str, field: str, like: str) -> tuple[int, int]:
    """The year of a name, and which of its quarters or months."""
    match = form.fullmatch(name)
    if match is None:
        why = f"{field} must read like {like}, not {name!r}"
        raise InvalidArgument("TIME_INVALID", why, field=field, value=name)
    return int(match[1]), int(match[2])


def _ms(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() * 1000)

"""Chinese working days."""

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.arbitration.disputes import working_days as wd

BEGAN = 1_700_000_000_000
DAY_MS = 86_400_000
TIMES = st.integers(BEGAN, BEGAN + 900 * DAY_MS)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text + "+08:00").timestamp() * 1000)


@pytest.mark.parametrize(
    ("day", "works"),
    [
        ("2026-10-01", False),  # National Day
        ("2026-10-08", True),
        ("2026-10-10", True),  # a Saturday worked in exchange (State Council notice for 2026)
        ("2026-02-14", True),  # another
        ("2026-02-15", False),
        ("2026-11-21", False),
        ("2027-01-01", False),
    ],
)
def test_holidays_and_exchanged_weekends_are_those_of_the_state_council(day, works):
    assert wd.is_working_day(date.fromisoformat(day)) is works


def test_a_day_is_a_day_in_china():
    assert wd.day_of(at("2026-11-24T23:59:59")) == date(2026, 11, 24)
    assert wd.end_of(date(2026, 11, 24)) == at("2026-11-25T00:00:00")


def test_the_starting_day_does_not_count():
    assert wd.deadline_ms(at("2026-11-24T09:00:00"), 3) == at("2026-11-28T00:00:00")


def test_a_deadline_steps_over_the_holidays():
    assert wd.deadline_ms(at("2026-09-29T09:00:00"), 2) == at("2026-10-09T00:00:00")


def test_a_pause_moves_the_deadline_by_its_working_days():
    pause = (at("2026-11-24T10:00:00"), at("2026-11-26T10:00:00"))

    assert wd.deadline_ms(at("2026-11-24T09:00:00"), 3, [pause]) == at("2026-12-02T00:00:00")


@given(TIMES, st.integers(1, 30), st.lists(st.tuples(TIMES, st.integers(0, 20)), max_size=3))
def test_the_budget_is_used_up_exactly_at_the_deadline(start, budget, pauses):
    spans = [(begin, begin + days * DAY_MS) for begin, days in pauses]

    end = wd.deadline_ms(start, budget, spans)

    assert wd.used(start, end - 1, spans) == budget
    assert wd.used(start, end - 1 - DAY_MS, spans) == budget - 1

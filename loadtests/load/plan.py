"""What the load scenarios are: rates over time, and the numbers that are asked about and marked."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SCENARIO, FOLDER, CONSOLE, RATE = (
    "ZHENGMING_LOAD_SCENARIO",
    "ZHENGMING_LOAD_FOLDER",
    "ZHENGMING_LOAD_CONSOLE",
    "ZHENGMING_LOAD_RATE",
)
REVIEWER, PASSWORD = "ann", "correct horse battery"
"""Who clicks through the console."""

FIRST, KNOWN, MARKS_EACH = 8613700000000, 2_000, 6
"""Numbers that have so many marks before anything begins, as E.164 digits."""
MARKED, SPAN, POOL = 8615000000000, 400_000_000, 20_000_000
"""Where marks go: so many numbers, evenly over so many, as numbers that are marked lie among those
that are not."""
UNKNOWN = 8613900000000
"""Numbers that nobody marks, POOL of them."""
LABELS = ("房产中介", "快递", "广告推销", "骚扰电话", "诈骗")
MISSES = 0.3
"""Share of lookups of numbers that nothing is known of: ours, most who call are nobody special."""
SOURCES, EVERY_S = 4, 0.4
"""Who sends marks, and how often: a source that has more to send sends more at a time."""
QUIET, LOADED, AFTER = "", ", loaded", ", afterwards"
"""Phases of a scenario; what is called in them is counted apart."""


SENT, ACKNOWLEDGED = "sent", "acknowledged"


def note(folder: Path, source: str, what: str, count: int) -> None:
    """Write down that so many marks of a source were sent, or acknowledged."""
    part = folder / f"{source}.{what}.part"
    part.write_text(str(count))
    part.replace(folder / f"{source}.{what}")


def noted(folder: Path, what: str) -> dict[str, int]:
    """The newest counts by source."""
    return {path.stem: int(path.read_text()) for path in folder.glob(f"*.{what}")}


@dataclass(frozen=True)
class Scenario:
    """One of them.

    Attributes:
        seconds: how long.
        marks: a second, as usual.
        factor: times that, by seconds since the start.
        faults_from: seconds after which processes are killed and stopped; None: never.
        pool: marks go to so many different numbers.
        phase: by seconds since the start.
    """

    seconds: int
    marks: float
    factor: Callable[[float], float] = lambda _: 1.0
    faults_from: int | None = None
    pool: int = POOL
    phase: Callable[[float], str] = lambda _: QUIET


BURST_FROM, BURST_S = 60, 60
BURST_UNTIL = BURST_FROM + BURST_S
QUIET_S = 120
"""Of a soak, before its first fault, at a tenth of its rate."""
KILLS_UNTIL_S = 900
"""Of a soak, until the services are killed no more."""
KNOWN_S = QUIET_S + 300
"""Of a soak, until nearly all of its numbers have marks: what is kept of numbers grows no more."""


def _day(at: float) -> float:
    """A day of 300 s: quiet at night, most at noon, and two campaigns."""
    hour = at / 300 * 24
    return (
        0.1 + max(math.sin((hour - 6) / 12 * math.pi), 0) + 4 * (10 < hour < 11 or 15 < hour < 16)
    )


SCENARIOS = {
    "smoke": Scenario(30, 200),
    "day": Scenario(300, 500, _day),
    "burst": Scenario(
        180,
        500,
        lambda at: 10.0 if BURST_FROM <= at < BURST_UNTIL else 1.0,
        phase=lambda at: QUIET if at < BURST_FROM else LOADED if at < BURST_UNTIL else AFTER,
    ),
    "soak": Scenario(
        1_800,
        3_500,
        lambda at: 0.1 if at < QUIET_S else 1.0,
        faults_from=QUIET_S,
        pool=300_000,
        phase=lambda at: QUIET if at < QUIET_S else LOADED,
    ),
}

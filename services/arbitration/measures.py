"""Gauges of arbitration: clocks of disputes, the outbox of notices, calibration, sources."""

import re
from collections.abc import Iterable

import numpy as np

from services.arbitration import queries
from services.arbitration.disputes import queries as dispute_queries
from services.arbitration.ledger import queries as ledger_queries
from services.arbitration.ledger import sampling
from services.arbitration.notices import queries as notice_queries
from services.common.clock import Clock
from services.common.store import Store
from services.common.telemetry import Value, names
from services.common.wire import category_code

WEEKS = 13
WEEK_MS = 7 * 86_400_000
MIN_REVIEWS = 50
"""With fewer reviews an error of calibration is mostly chance."""
MIN_TOLD = 50.0
"""Judged marks of a week, from which on it tells something of a source."""
MOST_SOURCES = 50
"""Sources by the most judged marks that are named."""
UNSURE = "UNSURE"
_NUMBERS = re.compile(r"\d{5}")


def clock_values(store: Store, clock: Clock) -> Iterable[Value]:
    """Clocks of disputes, and notices that wait."""
    now_ms = clock()
    counts = dispute_queries.clocks(store, now_ms)
    yield Value(names.DISPUTES_OPEN, counts["open"])
    yield Value(names.DISPUTES_OVERDUE, counts["overdue"])
    yield Value(names.DISPUTES_PAUSED, counts["paused"])
    waiting, oldest_ms, dead = notice_queries.backlog(store)
    yield Value(names.NOTICES_WAITING, waiting)
    yield Value(names.NOTICES_AGE, max(now_ms - oldest_ms, 0) / 1000 if waiting else 0.0)
    yield Value(names.NOTICES_DEAD, dead)


def quality_values(store: Store, clock: Clock) -> Iterable[Value]:
    """How right what is published was found to be, and how right each source has been."""
    since = sampling.week_ms(clock()) - (WEEKS - 1) * WEEK_MS
    rows = [
        row
        for row in ledger_queries.samples(store, since, clock() + 1)
        if row["verdict"] not in ("", UNSURE)
    ]
    yield Value(names.REVIEWED, len(rows))
    if len(rows) >= MIN_REVIEWS:
        right = sampling.is_right(
            [category_code(row["category"]) for row in rows], [row["verdict"] for row in rows]
        )
        error = sampling.calibration_error(
            np.array([row["probability"] for row in rows], dtype=np.float64),
            right,
            np.array([row["weight"] for row in rows], dtype=np.float64),
        )
        yield Value(names.CALIBRATION, error)
    yield from source_values(queries.source_weeks(store))


def source_values(weeks: Iterable[tuple[str, float, float]]) -> Iterable[Value]:
    """Accuracy and drift of sources.

    Args:
        weeks: (source, judged marks, those of them that others confirm) by week, ascending.
    """
    by_source: dict[str, list[tuple[float, float]]] = {}
    for name, told, right in weeks:
        by_source.setdefault(_shown(name), []).append((told, right))
    most = sorted(by_source.items(), key=lambda item: -sum(told for told, _ in item[1]))
    for name, found in most[:MOST_SOURCES]:
        told, right = np.array(found).sum(axis=0)
        if told < MIN_TOLD:
            continue
        yield Value(names.SOURCE_ACCURACY, float(right / told), (name,))
        newest = max((i for i, (n, _) in enumerate(found) if n >= MIN_TOLD), default=0)
        before, right_before = np.array(found[:newest]).reshape(-1, 2).sum(axis=0)
        if before >= MIN_TOLD:
            drift = found[newest][1] / found[newest][0] - right_before / before
            yield Value(names.SOURCE_DRIFT, float(drift), (name,))


def _shown(name: str) -> str:
    """A source's name, unless it could hold a phone number: sources name themselves."""
    return "other" if _NUMBERS.search(name) else name[:64]

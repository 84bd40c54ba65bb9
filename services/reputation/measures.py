"""Gauges of what is published: version, what waits, who is behind."""

from collections.abc import Iterable

from services.common.clock import Clock
from services.common.store import Store
from services.common.telemetry import Value, names
from services.reputation import queries
from services.reputation.lookup import Published
from services.reputation.publisher import Publisher

KNOWN_CONSUMER_MS = 30 * 86_400_000
"""A consumer whose last receipt is older is taken to be gone."""


def publishing_values(
    store: Store, published: Published, publisher: Publisher, clock: Clock
) -> Iterable[Value]:
    """What no version has seen yet, the last full pass, and the consumers."""
    now_ms, snapshot = clock(), published.snapshot
    waiting, oldest_ms = queries.changes_beyond(store, int(snapshot.change_cursor or 0))
    yield Value(names.CHANGES_WAITING, waiting)
    yield Value(names.CHANGES_AGE, _age_s(oldest_ms, now_ms) if waiting else 0.0)
    if publisher.last_churn is not None:
        yield Value(names.CHURN, publisher.last_churn.share)
    if run_ms := queries.last_run_ms(store):
        yield Value(names.RUN_AGE, _age_s(run_ms, now_ms))
    known = [
        (max(snapshot.version - row["applied"], 0), row["last_ms"])
        for row in queries.consumers(store).to_pylist()
        if row["last_ms"] > now_ms - KNOWN_CONSUMER_MS
    ]
    yield Value(names.CONSUMERS, len(known))
    yield Value(names.CONSUMER_LAG, max((lag for lag, _ in known), default=0))
    behind = [last_ms for lag, last_ms in known if lag]
    yield Value(names.CONSUMER_SILENCE, _age_s(min(behind), now_ms) if behind else 0.0)


def _age_s(then_ms: int, now_ms: int) -> float:
    return max(now_ms - then_ms, 0) / 1000

"""Gauges of the models: which one scores, and how far what it scores has moved."""

from collections.abc import Iterable

from services.common.store import Store
from services.common.telemetry import Value, names
from services.scoring import watch_queries
from services.scoring.drift import SCORE
from services.scoring.registry import Registry


def model_values(store: Store, registry: Registry) -> Iterable[Value]:
    """Active versions, and drift of the newest run of the active model of risk."""
    if registry.has("prior"):
        yield Value(names.MODEL_ACTIVE, 1, ("prior", registry.active("prior").version))
    if not registry.has("risk"):
        return
    version = registry.active("risk").version
    yield Value(names.MODEL_ACTIVE, 1, ("risk", version))
    found = watch_queries.newest_drift(store, version)
    if found is None:
        return
    by_column = dict(zip(found["names"], found["indices"], strict=True))
    if SCORE in by_column:
        yield Value(names.MODEL_DRIFT, by_column.pop(SCORE), ("score",))
    if by_column:
        yield Value(names.MODEL_DRIFT, max(by_column.values()), ("features",))

"""How a number calls, as a point: near points call alike. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.features.definitions import FEATURES, NAMES

F32 = npt.NDArray[np.float32]

TRAITS: tuple[str, ...] = tuple(
    feature.name
    for feature in FEATURES
    if feature.group == "behaviour" and feature.name != "marks_per_answered_ratio"
)
"""Features that make the point: how it calls, and nothing of what is said of it."""

_COLUMNS = [NAMES.index(name) for name in TRAITS]
_ACTIVE = TRAITS.index("active_days")
FARTHEST = 5.0
"""No trait counts for more deviations than this."""
UNUSUAL = 1.0
"""Deviations from the mean from which a trait is worth naming. Ours."""
NAMED = 4


def traits(rows: F32) -> tuple[npt.NDArray[np.bool_], F32]:
    """Which feature rows, (n, features), have behaviour, (n,), and the traits of those, (m, d)."""
    values = np.asarray(rows[:, _COLUMNS], dtype=np.float32)
    have = values[:, _ACTIVE] > 0
    return have, values[have]


def active(features: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
    """Which numbers have behaviour, (n,), by features of the given names."""
    return np.asarray(features[TRAITS[_ACTIVE]] > 0)


def traits_of(features: Mapping[str, npt.NDArray[Any]], rows: npt.NDArray[Any]) -> F32:
    """Traits of some rows of features by name, (m, d)."""
    found = np.array([features[name][rows] for name in TRAITS], dtype=np.float32)
    # Row by row, as stored ones come back, so that both are summed in the same order.
    return np.ascontiguousarray(found.T)


@dataclass(frozen=True)
class Scale:
    """Where most numbers lie: mean and deviation of log(1 + trait), float32 (d,)."""

    mean: F32
    deviation: F32

    @classmethod
    def of(cls, values: F32) -> "Scale":
        """The scale of traits, (n, d); what is not known counts nowhere."""
        logged = np.log1p(np.maximum(values, 0))
        known = np.isfinite(logged)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, logged, 0).sum(axis=0, dtype=np.float64) / count
        square = (np.where(known, logged - mean, 0) ** 2).sum(axis=0, dtype=np.float64) / count
        deviation = np.where(square > 0, np.sqrt(square), 1)
        return cls(mean.astype(np.float32), deviation.astype(np.float32))

    def points(self, values: F32) -> F32:
        """Traits, (n, d), as points, (n, d); what is not known lies at the mean."""
        scaled = (np.log1p(np.maximum(values, 0)) - self.mean) / self.deviation
        scaled[np.isnan(scaled)] = 0
        clipped = np.clip(scaled, -FARTHEST, FARTHEST)
        return np.ascontiguousarray(clipped, dtype=np.float32)


def shared(first: F32, second: F32) -> list[tuple[int, float]]:
    """Traits in which two points, (d,), lie off the mean to the same side, and how far the nearer
    one does; the farthest first.
    """
    nearer = np.where(np.sign(first) == np.sign(second), np.minimum(abs(first), abs(second)), 0)
    order = np.argsort(-nearer, kind="stable")[:NAMED]
    return [(int(i), float(nearer[i] * np.sign(first[i]))) for i in order if nearer[i] >= UNUSUAL]

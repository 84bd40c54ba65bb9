"""How good probabilities are, as numbers and curves: labels and probabilities in, figures out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score, precision_recall_curve, roc_curve

from loadtests.bars import Bar
from services.scoring import domain

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

CURVE_POINTS = 300
"""Points a curve is drawn with."""

RESAMPLES = 200
"""Bootstrap samples of an interval (Efron & Tibshirani 1993 take 200 for a standard error)."""

SLICE_CLASS_ROWS = 20
"""Rows of each class from which a slice's ranking is told."""


@dataclass(frozen=True)
class Scored:
    """What one system says of the same rows as the others.

    Attributes:
        name: of the system.
        probability: (rows,).
    """

    name: str
    probability: Floats


@dataclass(frozen=True)
class Evaluation:
    """Everything the report tells of one set.

    Attributes:
        name, text: heading and what was done.
        label: (rows,) whether the row is positive.
        systems: ours first.
        paired: (system, metric, mean difference of ours to it, standard error) over turns.
        slices: (name, rows, positives, figures) of ours.
        ablations: (group left out, mean change of AUC, of PR-AUC, standard errors of both).
        importances: (feature, group, share).
        bars: what the set is held to.
    """

    name: str
    text: str
    label: Flags
    systems: Sequence[Scored]
    paired: Sequence[tuple[str, str, float, float]] = ()
    slices: Sequence[tuple[str, int, int, Mapping[str, float]]] = ()
    ablations: Sequence[tuple[str, float, float, float, float]] = ()
    importances: Sequence[tuple[str, str, float]] = ()
    bars: Sequence[Bar] = field(default=())


def metrics(probability: Floats, label: Flags) -> dict[str, float]:
    """The model card's figures, and F1 at 0.5."""
    told: dict[str, Any] = domain.metrics(probability, label)
    told.setdefault("f1", float(f1_score(label, probability >= 0.5, zero_division=0.0)))
    return told


def roc(probability: Floats, label: Flags) -> Floats:
    """(points, 2): false positive rate, true positive rate."""
    false, true, _ = roc_curve(label, probability)
    return _thinned(np.column_stack([false, true]))


def precision_recall(probability: Floats, label: Flags) -> Floats:
    """(points, 2): recall, precision."""
    precision, recall, _ = precision_recall_curve(label, probability)
    return _thinned(np.column_stack([recall, precision])[::-1])


def reliability(probability: Floats, label: Flags, bins: int = 10) -> Floats:
    """(bins with rows, 3): mean probability, share positive, rows; equal bins as for the ECE."""
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    rows = np.bincount(place, minlength=bins)
    stated = np.bincount(place, probability, bins)
    found = np.bincount(place, label.astype(np.float64), bins)
    there = rows > 0
    return np.column_stack([stated[there] / rows[there], found[there] / rows[there], rows[there]])


def lift(probability: Floats, label: Flags) -> Floats:
    """(points, 2): share of rows taken from the top, share of positives / that of all rows."""
    order = np.argsort(-probability, kind="stable")
    taken = np.arange(1, len(label) + 1)
    hits = np.cumsum(label[order])
    curve = np.column_stack([taken / len(label), hits / taken / label.mean()])
    # Below one row in a thousand the ratio hangs on a handful of rows.
    return _thinned(curve[max(len(label) // 1000, 9) :])


def slices(
    probability: Floats, label: Flags, parts: Mapping[str, Flags]
) -> list[tuple[str, int, int, Mapping[str, float]]]:
    """Figures of the rows of each part; no ranking where a class has few rows."""
    told = []
    for name, chosen in parts.items():
        rows, positives = int(chosen.sum()), int(label[chosen].sum())
        few = min(positives, rows - positives) < SLICE_CLASS_ROWS
        told.append(
            (name, rows, positives, {} if few else metrics(probability[chosen], label[chosen]))
        )
    return told


def interval(probability: Floats, label: Flags, metric: str, seed: int) -> tuple[float, float]:
    """95 % interval of a metric by bootstrap over rows."""
    chance = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        rows = chance.integers(0, len(label), len(label))
        found.append(metrics(probability[rows], label[rows])[metric])
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean over turns, and the standard error of turns that share training rows.

    Nadeau & Bengio 2003 (10.1023/A:1024068626366): the variance over J turns counts
    1/J + rows held / rows trained on times, here 1/2.
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return float(array.mean()), float("nan")
    return float(array.mean()), float(np.sqrt(array.var(ddof=1) * (1 / len(array) + 1 / 2)))


def _thinned(curve: Floats) -> Floats:
    if len(curve) <= CURVE_POINTS:
        return curve
    places = np.unique(np.linspace(0, len(curve) - 1, CURVE_POINTS).astype(np.int64))
    return np.asarray(curve[places])

"""Drawing a stratified sample, and what the reviewed part of it says of all. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from services.common.intervals import wilson

CHINA = timedelta(hours=8)
LEAST = 5
"""Labels of a category that are drawn at least, where there are so many."""
BINS = 10

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


def week_ms(time_ms: int) -> int:
    """When the week of a time began: Monday, midnight in China."""
    local = datetime.fromtimestamp(time_ms / 1000, UTC) + CHINA
    monday = (local - timedelta(days=local.weekday())).date()
    start = datetime(monday.year, monday.month, monday.day, tzinfo=UTC) - CHINA
    return int(start.timestamp() * 1000)


def draw(category: I64, size: int, seed: int) -> tuple[I64, F64]:
    """Rows drawn at random without putting back, and how many rows each stands for.

    Every category has LEAST; what is left of the size goes by their sizes.

    Args:
        category: int64 (n,), the stratum of each row.
        size: rows to draw, about; all if there are no more.
        seed: of the chance.

    Returns:
        Rows ascending, int64 (k,), and weights, float64 (k,): stratum size / drawn of it.
    """
    chance = np.random.default_rng(seed)
    codes, at, count = np.unique(category, return_inverse=True, return_counts=True)
    if not len(codes):
        return np.zeros(0, np.int64), np.zeros(0)
    least = np.minimum(count, LEAST)
    rest = max(size - int(least.sum()), 0)
    share = np.minimum(least + np.floor(rest * count / count.sum()).astype(np.int64), count)
    rows, weights = [], []
    for stratum, wanted in enumerate(share.tolist()):
        picked = chance.choice(np.flatnonzero(at == stratum), wanted, replace=False)
        rows.append(picked)
        weights.append(np.full(wanted, count[stratum] / wanted))
    order = np.argsort(np.concatenate(rows), kind="stable")
    return np.concatenate(rows)[order].astype(np.int64), np.concatenate(weights)[order]


@dataclass(frozen=True)
class Measured:
    """A share of right labels, with its 95 % interval."""

    category: int
    reviewed_count: int
    share: float
    lower: float
    upper: float


def measure(category: I64, right: npt.NDArray[np.bool_], weight: F64) -> list[Measured]:
    """The share of right labels of all (category 0) and by category, weighted.

    The interval is Wilson's (1927, doi 10.2307/2276774) on Kish's effective number of labels.
    """
    found = [_measured(0, right, weight)] if len(category) else []
    for code in np.unique(category).tolist():
        rows = category == code
        found.append(_measured(code, right[rows], weight[rows]))
    return found


def _measured(category: int, right: npt.NDArray[np.bool_], weight: F64) -> Measured:
    share = float(weight @ right / weight.sum())
    count = float(weight.sum() ** 2 / (weight @ weight))
    return Measured(category, len(right), share, *wilson(share, count))


def reliability(
    stated: F64, right: npt.NDArray[np.bool_], weight: F64
) -> list[tuple[float, float, int]]:
    """Mean stated probability, share right and labels of each bin that has any."""
    bins = np.minimum((stated * BINS).astype(np.int64), BINS - 1)
    found = []
    for at in np.unique(bins).tolist():
        rows = bins == at
        total = float(weight[rows].sum())
        found.append(
            (
                float(weight[rows] @ stated[rows]) / total,
                float(weight[rows] @ right[rows]) / total,
                int(rows.sum()),
            )
        )
    return found


def calibration_error(stated: F64, right: npt.NDArray[np.bool_], weight: F64) -> float:
    """Expected calibration error, in [0, 1]: |mean stated - share right| of each bin, by weight
    (Naeini et al. 2015, doi 10.1609/aaai.v29i1.9602)."""
    bins = np.minimum((stated * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, weight * (stated - right), minlength=BINS)
    return float(np.abs(gaps).sum() / weight.sum())


def is_right(published: Sequence[str], verdict: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Whether each published category is what the review found."""
    return np.array([p == v for p, v in zip(published, verdict, strict=True)], dtype=bool)

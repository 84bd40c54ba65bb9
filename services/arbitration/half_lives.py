"""How fast marks of a category lose their worth, by how long later marks still agree. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from services.arbitration.domain import DAY_MS, F64, I64, Marks, Vocabulary
from services.arbitration.honesty import expected_strata
from services.arbitration.weighing import TESTIFYING

MIN_PAIRS = 200
"""Pairs of marks below which the standard's half-life stays as it is."""
GRID = np.exp2(np.arange(-3.0, 3.01, 0.25))
"""Half-lives that are tried, in those of the standard."""
SPREAD_OCTAVES = 1.0
"""Standard deviation of log2(half-life / the standard's) before anything is seen."""
GAPS_DAYS = np.concatenate([[0.0], np.exp2(np.arange(-4.0, 10.01, 0.25))])
AT_ONCE = np.linspace(0.02, 0.98, 33)
"""Agreements of two marks made at the same time that are tried, above chance: 0 none, 1 all."""


@dataclass(frozen=True)
class HalfLives:
    """Learned half-lives, c rows ascending by category.

    Attributes:
        category: uint16 (c,).
        days: float64 (c,), in force.
        standard_days: float64 (c,), of the category standard.
        pairs: int64 (c,), pairs of marks behind it.
    """

    category: np.ndarray[tuple[int], np.dtype[np.uint16]]
    days: F64
    standard_days: F64
    pairs: I64

    def by_category(self) -> Mapping[int, float]:
        """Half-life in days of each category id."""
        return dict(zip(self.category.tolist(), self.days.tolist(), strict=True))

    def of_labels(self, vocabulary: Vocabulary) -> Vocabulary:
        """The vocabulary with the half-lives in force."""
        days = self.by_category()
        means = vocabulary.categories[vocabulary.top_category].tolist()
        half_life = [
            days.get(category, ms / DAY_MS) * DAY_MS
            for category, ms in zip(means, vocabulary.half_life_ms.tolist(), strict=True)
        ]
        return replace(vocabulary, half_life_ms=np.array(half_life, dtype=np.float64))


def learn_half_lives(vocabulary: Vocabulary, marks: Marks) -> HalfLives:
    """Half-life of every category that a label means most.

    Of two successive marks of one number by different sources, t apart, the later agrees with
    the earlier with probability

        c + (1 - c) a 2^(-t / h)

    where c is how often any mark agrees with the category and a the agreement at once; both are
    fitted beside h (maximum a posteriori; log2 of h over the standard's is normal around 0).
    Only marks that may testify are looked at: crowds repeat each other at once. Epochs are not
    crossed, for marks of former ones are not among those that stand.

    Args:
        vocabulary: with the standard's half-lives.
        marks: a sample that stands, ordered by number and time.
    """
    top = vocabulary.top_category
    standard_days = np.full(len(vocabulary.categories), np.nan)
    standard_days[top] = vocabulary.half_life_ms / DAY_MS
    rows = np.flatnonzero(expected_strata()[marks.trait] >= TESTIFYING)
    rows = rows[np.lexsort((marks.occurred_ms[rows], marks.number_at[rows]))]
    before, after = rows[:-1], rows[1:]
    paired = marks.number_at[before] == marks.number_at[after]
    paired &= marks.source_at[before] != marks.source_at[after]
    before, after = before[paired], after[paired]
    category = top[marks.label_at[before]]
    says = (vocabulary.meaning > 0)[marks.label_at[after], category]
    gap_days = (marks.occurred_ms[after] - marks.occurred_ms[before]) / DAY_MS
    gap_at = np.clip(np.searchsorted(GAPS_DAYS, gap_days, side="right") - 1, 0, len(GAPS_DAYS) - 1)
    shape = (len(vocabulary.categories), len(GAPS_DAYS))
    cell = category * shape[1] + gap_at
    total = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    agreed = np.bincount(cell, says, minlength=shape[0] * shape[1]).reshape(shape)
    spoken = np.bincount(marks.label_at[rows], minlength=len(vocabulary.labels))
    chance = (spoken @ (vocabulary.meaning > 0)) / max(len(rows), 1)
    known = np.flatnonzero(~np.isnan(standard_days))
    days = np.array(
        [_fit(standard_days[k], total[k], agreed[k], float(chance[k])) for k in known.tolist()]
    )
    return HalfLives(
        vocabulary.categories[known],
        days.astype(np.float64),
        standard_days[known],
        total[known].sum(axis=1).astype(np.int64),
    )


def _fit(standard_days: float, total: I64, agreed: F64, chance: float) -> float:
    """The most probable half-life in days; total and agreed are by bin of GAPS_DAYS."""
    if total.sum() < MIN_PAIRS:
        return float(standard_days)
    middle = np.append((GAPS_DAYS[1:] + GAPS_DAYS[:-1]) / 2, GAPS_DAYS[-1] * 1.1)
    kept = np.exp2(-middle[None, :] / (GRID * standard_days)[:, None])
    c = min(max(chance, 0.001), 0.98)
    agrees = c + (1 - c) * AT_ONCE[None, :, None] * kept[:, None, :]
    agrees = np.clip(agrees, 1e-6, 1 - 1e-6)
    likelihood = (agreed * np.log(agrees) + (total - agreed) * np.log1p(-agrees)).sum(axis=2)
    prior = -0.5 * (np.log2(GRID) / SPREAD_OCTAVES) ** 2
    return float(GRID[(likelihood.max(axis=1) + prior).argmax()] * standard_days)

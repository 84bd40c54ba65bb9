"""What behaviour says of numbers before any mark counts, and how far it is believed. Pure.

    log prior_i(k) = log prior(k) + weight · log[P(class of k | behaviour of i) / P(class of k)]

The weight is one number a run, learned from marks that were held back: a prior that was learned
elsewhere and does not hold here weighs nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from services.common.places import place

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

STEP = 0.25
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weights that are tried, STEP apart."""


@dataclass(frozen=True)
class Told:
    """What behaviour says of some numbers.

    Attributes:
        classes: category ids, 0 ordinary; below 10 all of a group without a class of their own.
        numbers: int64 (m,), ascending.
        log_ratio: float32 (m, C), log of P(class | behaviour) / P(class).
    """

    classes: tuple[int, ...]
    numbers: I64
    log_ratio: F32

    def of(self, numbers: I64, categories: npt.NDArray[np.uint16]) -> "Prior":
        """The same for ascending numbers and a vocabulary's categories, zeros where unknown."""
        at, there = place(self.numbers, numbers)
        values = np.zeros((len(numbers), len(self.classes) + 1), dtype=np.float32)
        values[there, :-1] = self.log_ratio[at[there]]
        return Prior(values, columns(self.classes, categories))


def columns(classes: Sequence[int], categories: npt.NDArray[np.uint16]) -> I64:
    """The class of each category, (K,): itself, else its group's; len(classes) without any."""
    at = {category: i for i, category in enumerate(classes)}
    return np.array(
        [
            at.get(category, at.get(category // 1000, len(classes)) if category else len(classes))
            for category in categories.tolist()
        ],
        dtype=np.int64,
    )


@dataclass(frozen=True)
class Prior:
    """Log ratios of n numbers by class, and the class of each category.

    Attributes:
        value: float32 (n, C + 1), the last column zeros.
        column: int64 (K,), of each category.
        weight: how far it is believed.
    """

    value: F32
    column: I64
    weight: float = 1.0

    def weighing(self, weight: float) -> "Prior | None":
        """The same at another weight; None where it weighs nothing."""
        return replace(self, weight=weight) if weight else None

    def silent(self) -> "Prior":
        """The same that says nothing of any category."""
        return replace(self, column=np.full_like(self.column, self.value.shape[1] - 1))

    def rows(self, first: int, last: int) -> F32:
        """What is added to the log prior of numbers first to last, (last - first, K)."""
        return np.float32(self.weight) * self.value[first:last, self.column]


def best_weight(likelihood: Callable[[float], F64], weight: F64) -> float:
    """The weight under which marks that were held back are foretold best, in [0, 1].

    Between the steps of WEIGHTS it is the top of the parabola through the three about the best:
    a choice of steps would move many verdicts at once where two are nearly as good. None but 0 is
    taken where 0 is the best step.

    Args:
        likelihood: (m,), probability of each mark's label by all that its source did not say,
            under a weight of the prior.
        weight: float64 (m,), how much each mark counts.
    """
    if not weight.any():
        return 0.0
    scores = [
        float(weight @ np.log(np.maximum(likelihood(candidate), 1e-12))) for candidate in WEIGHTS
    ]
    best = int(np.argmax(scores))
    if best == 0:
        return 0.0
    middle = min(best, len(WEIGHTS) - 2)
    before, at, after = scores[middle - 1 : middle + 2]
    bend = before - 2 * at + after
    if bend >= 0:
        return WEIGHTS[best]
    top = WEIGHTS[middle] + STEP * (before - after) / (2 * bend)
    return float(np.clip(top, 0.0, 1.0))

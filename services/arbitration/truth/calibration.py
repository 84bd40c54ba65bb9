"""Making probabilities mean what they say, from a few tasks whose truth is known."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, logit

from services.arbitration.truth.answers import F64, I64

SPREAD = 0.5
"""Standard deviation of the log slope and of the offset before any gold is seen."""
_CLIP = 1e-4


@dataclass(frozen=True)
class Calibration:
    """logit(stated probability of the top class) -> slope * logit + offset (Platt 1999)."""

    slope: float = 1.0
    offset: float = 0.0

    def apply(self, posterior: F64) -> F64:
        """Restate each row's top probability; the others share the rest as before.

        The top class stays the top class: its probability does not fall below the second's.
        """
        if (self.slope, self.offset) == (1.0, 0.0) or posterior.shape[1] < 2:
            return posterior
        at = np.arange(len(posterior)), posterior.argmax(axis=1)
        top = posterior[at]
        others = posterior.copy()
        others[at] = 0.0
        left = np.maximum(others.sum(axis=1), 1e-12)
        ratio = others.max(axis=1) / left
        even = left < 1e-9
        others[even] = 1 / (posterior.shape[1] - 1)
        others[at] = 0.0
        others /= others.sum(axis=1, keepdims=True)
        stated = expit(self.slope * _logit(top) + self.offset)
        stated = np.maximum(stated, np.where(even, 0.5, ratio / (1 + ratio)))
        others *= (1 - stated)[:, None]
        others[at] = stated
        return np.asarray(others)


def calibrate(posterior: F64, truth: I64) -> Calibration:
    """Fit slope and offset by penalised likelihood; normal priors keep a handful from deciding.

    Args:
        posterior: (m, n_classes), none of them fixed by the truth it is judged by.
        truth: class of each row, (m,).
    """
    if not len(truth):
        return Calibration()
    stated = _logit(posterior.max(axis=1))
    right = posterior.argmax(axis=1) == truth

    def loss(parameters: F64) -> float:
        log_slope, offset = parameters
        score = np.exp(log_slope) * stated + offset
        missed = np.logaddexp(0, np.where(right, -score, score)).sum()
        return float(missed + 0.5 * (log_slope**2 + offset**2) / SPREAD**2)

    log_slope, offset = minimize(loss, np.zeros(2), method="Nelder-Mead").x
    return Calibration(float(np.exp(log_slope)), float(offset))


def expected_calibration_error(
    probability: npt.ArrayLike, correct: npt.ArrayLike, bins: int = 10
) -> float:
    """Mean gap of stated probability and hit rate over equal-width bins (Naeini et al. 2015)."""
    stated, right = np.asarray(probability, dtype=float), np.asarray(correct, dtype=float)
    at = np.minimum((stated * bins).astype(int), bins - 1)
    gap = np.bincount(at, stated - right, minlength=bins)
    return float(np.abs(gap).sum() / max(len(stated), 1))


def _logit(probability: F64) -> F64:
    return np.asarray(logit(np.clip(probability, _CLIP, 1 - _CLIP)))

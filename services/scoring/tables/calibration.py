"""From scores to probabilities: maps learned out of fold, and how far they may be trusted."""

from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from services.scoring.tables.columns import Floats

EDGE = 1e-6
"""Probabilities are kept this far from 0 and 1."""

KINDS = ("identity", "platt", "beta", "isotonic")

Calibration = dict[str, Any]
"""kind, then its parameters: JSON values only."""


def fit_kind(kind: str, score: Floats, label: Floats) -> Calibration:
    """Learn one map from scores in (0, 1) to probabilities.

    platt: Platt 1999 on the log-odds; beta: Kull et al. 2017 (AISTATS); isotonic: Zadrozny &
    Elkan 2002, joined by lines between the blocks' centres so that the order of scores stays
    (Oron & Flournoy 2017, centred isotonic regression).
    """
    score = np.clip(score, EDGE, 1 - EDGE)
    if kind == "identity":
        return {"kind": kind}
    if kind == "isotonic":
        fitted = IsotonicRegression(y_min=EDGE, y_max=1 - EDGE).fit_transform(score, label)
        levels, block = np.unique(fitted, return_inverse=True)
        centres = np.bincount(block, weights=_odds(score)) / np.bincount(block)
        return {"kind": kind, "odds": centres.tolist(), "probability": levels.tolist()}
    inputs = _odds(score)[:, None] if kind == "platt" else _beta_inputs(score)
    line = LogisticRegression(C=1e4, max_iter=1000).fit(inputs, label)
    if kind == "beta" and line.coef_.min() < 0:
        # A negative part would turn the order of scores around somewhere.
        return fit_kind("platt", score, label)
    return {
        "kind": kind,
        "coefficients": line.coef_[0].tolist(),
        "intercept": float(line.intercept_[0]),
    }


def apply(calibration: Calibration, score: Floats) -> Floats:
    """Map scores in (0, 1) to probabilities."""
    score = np.clip(score, EDGE, 1 - EDGE)
    kind = calibration["kind"]
    if kind == "identity":
        return score
    if kind == "isotonic":
        return np.interp(_odds(score), calibration["odds"], calibration["probability"])
    inputs = _odds(score)[:, None] if kind == "platt" else _beta_inputs(score)
    line = inputs @ np.asarray(calibration["coefficients"]) + calibration["intercept"]
    return np.asarray(1 / (1 + np.exp(-line)))


def choose(score: Floats, label: Floats, seed: int) -> tuple[Calibration, Floats]:
    """The map with the least cross-validated log loss, and its out-of-fold probabilities."""
    best: tuple[float, str, Floats] | None = None
    folds = list(StratifiedKFold(5, shuffle=True, random_state=seed).split(score, label))
    for kind in KINDS:
        probability = np.zeros(len(score))
        for fitted, held in folds:
            learned = fit_kind(kind, score[fitted], label[fitted])
            probability[held] = apply(learned, score[held])
        loss = float(log_losses(probability, label).mean())
        if best is None or loss < best[0]:
            best = loss, kind, probability
    assert best is not None
    return fit_kind(best[1], score, label), best[2]


def log_losses(probability: Floats, label: Floats) -> Floats:
    """The log loss of each row, in nats."""
    clipped = np.clip(probability, EDGE, 1 - EDGE)
    return -np.where(label > 0, np.log(clipped), np.log(1 - clipped))


def _odds(score: Floats) -> Floats:
    return np.asarray(np.log(score) - np.log1p(-score))


def _beta_inputs(score: Floats) -> Floats:
    return np.column_stack([np.log(score), -np.log1p(-score)])

"""Learning and applying the risk model. Pure: arrays in, arrays out."""

import re
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from services.common.errors import FailedPrecondition, InvalidArgument

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Y = npt.NDArray[np.bool_]

FOLDS = 3
MAX_TREES = 300
"""More fit the folds and not the months to come; docs/decisions.md, 2026-11-29."""
EARLY_STOPPING = 50
MIN_EXAMPLES = 20
"""Fewest positive and negative examples to learn from."""

PARAMETERS: dict[str, Any] = {
    "objective": "cross_entropy",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 20.0,
    "max_bin": 127,
    "verbosity": -1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 2,
}

FEW_TO_LEARN, FEW_TO_SCORE = 20_000, 1_000
"""Rows below which a second thread costs more than it does."""

_POSITIVE = re.compile(r"marks\s*>=\s*([1-9]\d{0,5})")


@dataclass(frozen=True)
class RiskModel:
    """A booster and its calibration.

    Attributes:
        booster: the LightGBM model.
        names: features, in order.
        slope, intercept: risk = sigmoid(slope * margin + intercept) (Platt 1999).
        version: names the model.
    """

    booster: lgb.Booster
    names: tuple[str, ...]
    slope: float
    intercept: float
    version: str

    def risk(self, rows: F32) -> F64:
        """Calibrated probability of each row, float64 (n,)."""
        return sigmoid(self.slope * margins(self.booster, rows) + self.intercept)

    def contributions(self, rows: F32) -> F64:
        """Log odds that each feature adds, (n, features) (TreeSHAP, Lundberg et al. 2020)."""
        threads = 1 if len(rows) < FEW_TO_SCORE else 2
        parts = np.asarray(self.booster.predict(rows, pred_contrib=True, num_threads=threads))
        return self.slope * parts[:, :-1]

    def check(self, names: tuple[str, ...]) -> None:
        """Accept rows with these features.

        Raises:
            FailedPrecondition: MODEL_FEATURES_MISMATCH.
        """
        if names != self.names:
            missing = sorted(set(self.names) - set(names))
            unexpected = sorted(set(names) - set(self.names))
            raise FailedPrecondition(
                "MODEL_FEATURES_MISMATCH",
                f"model {self.version} expects other features: missing {missing}, "
                f"unexpected {unexpected}, or another order",
                model="risk",
                version=self.version,
                missing=missing,
                unexpected=unexpected,
            )


def sigmoid(x: F64) -> F64:
    """1 / (1 + e^-x)."""
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def parameters(count: int, seed: int) -> dict[str, Any]:
    """Parameters to learn from so many rows."""
    return {**PARAMETERS, "seed": seed, "num_threads": 1 if count < FEW_TO_LEARN else 2}


def margins(booster: lgb.Booster, rows: F32) -> F64:
    """What a booster says of each row before calibration, float64 (n,)."""
    threads = 1 if len(rows) < FEW_TO_SCORE else 2
    return np.asarray(booster.predict(rows, raw_score=True, num_threads=threads))


def fold_of(numbers: I64, seed: int) -> I64:
    """Fold of each row, (n,) in [0, FOLDS): the rows of one number are in one."""
    distinct, at = np.unique(numbers, return_inverse=True)
    return np.asarray((np.random.default_rng(seed).permutation(len(distinct)) % FOLDS)[at])


def positive_minimum(rule: str) -> int:
    """Read "marks>=N".

    Raises:
        InvalidArgument: POSITIVE_RULE_INVALID.
    """
    found = _POSITIVE.fullmatch(rule.strip() or "marks>=3")
    if not found:
        raise InvalidArgument(
            "POSITIVE_RULE_INVALID",
            f"positive must read like 'marks>=3', not {rule[:80]!r}",
            field="positive",
            value=rule[:80],
            expected="marks>=N",
        )
    return int(found[1])


def fit(
    rows: F32, bad: Y, graded: F32, weights: F32, numbers: I64, seed: int
) -> tuple[lgb.Booster, float, float, F64, int]:
    """Learn from all rows; trees and calibration come from folds that were kept apart.

    Args:
        rows: float32 (n, features).
        bad: bool (n,), what the risk is the probability of.
        graded: float32 (n,) in [0, 1], what the trees learn: `bad`, or more finely how nearly so.
        weights: float32 (n,), how many rows each stands for where the risk is calibrated; the trees
            take each for one, for few that stand for many would only blur what the others tell.
        numbers: int64 (n,), whose row each is: the rows of one number stay in one fold.

    Returns:
        Booster, slope, intercept, out-of-fold risk (n,), trees.

    Raises:
        FailedPrecondition: TRAINING_SET_TOO_SMALL.
    """
    positive, negative = int(bad.sum()), int((~bad).sum())
    if min(positive, negative) < MIN_EXAMPLES:
        raise FailedPrecondition(
            "TRAINING_SET_TOO_SMALL",
            f"{positive} positive and {negative} negative examples; "
            f"at least {MIN_EXAMPLES} of each are needed",
            positive_count=positive,
            negative_count=negative,
            minimum=MIN_EXAMPLES,
        )
    chosen, fold = parameters(len(rows), seed), fold_of(numbers, seed)
    # Binned once: a copy of the rows for each fold would double the memory.
    whole = lgb.Dataset(rows, graded, params=chosen, free_raw_data=False)
    whole.construct()
    margin = np.empty(len(bad))
    trees = []
    for i in range(FOLDS):
        held = np.flatnonzero(fold == i)
        booster = lgb.train(
            chosen,
            whole.subset(np.flatnonzero(fold != i).tolist()),
            MAX_TREES,
            valid_sets=[whole.subset(held.tolist())],
            callbacks=[lgb.early_stopping(EARLY_STOPPING, verbose=False)],
        )
        trees.append(booster.best_iteration)
        margin[held] = margins(booster, rows[held])
    count = max(int(np.mean(trees)), 1)
    booster = lgb.train(chosen, whole, count)
    slope, intercept = platt(margin, bad, weights)
    return booster, slope, intercept, sigmoid(slope * margin + intercept), count


def platt(margin: F64, bad: Y, weights: F32) -> tuple[float, float]:
    """Slope and intercept that make sigmoid(slope * margin + intercept) calibrated (Platt 1999)."""
    sign = np.where(bad, 1.0, -1.0)
    share = weights / weights.sum(dtype=np.float64)

    def loss(x: F64) -> tuple[float, F64]:
        z = sign * (x[0] * margin + x[1])
        wrong = sigmoid(-z) * -sign
        value = share @ np.logaddexp(0, -z)
        return float(value), np.array([share @ (wrong * margin), share @ wrong])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B")
    return float(max(found.x[0], 1e-3)), float(found.x[1])


def metrics(risk: F64, bad: Y, weights: F32 | None = None) -> dict[str, float]:
    """AUC (Mann-Whitney, ties shared), average precision, ECE of ten bins, Brier score.

    The first two are left out where one class is missing.

    Args:
        risk: float64 (n,).
        bad: bool (n,).
        weights: float32 (n,), how many rows each stands for; None: itself.
    """
    w = np.ones(len(risk)) if weights is None else weights.astype(np.float64)
    order = np.argsort(-risk, kind="stable")
    y, p = (bad * w)[order], risk[order]
    last = np.append(np.flatnonzero(np.diff(p)), len(p) - 1)
    tp, seen = np.cumsum(y)[last], np.cumsum(w[order])[last]
    positive, negative = y.sum(), w.sum() - y.sum()
    gained = np.diff(np.append(0.0, tp))
    fp = seen - tp
    below = negative - fp + np.diff(np.append(0.0, fp)) / 2
    bins = np.minimum((risk * 10).astype(int), 9)
    gap = np.bincount(bins, (risk - bad) * w, minlength=10)
    ranked = {}
    if positive > 0 and negative > 0:
        ranked = {
            "auc": float((gained * below).sum() / (positive * negative)),
            "pr_auc": float((gained * tp / seen).sum() / positive),
        }
    return {
        **ranked,
        "ece": float(np.abs(gap).sum() / w.sum()),
        "brier": float(np.average((risk - bad) ** 2, weights=w)),
    }

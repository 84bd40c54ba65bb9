"""What behaviour alone says of a number's category: learning and applying. Pure.

A model is FOLDS boosters. Each was learned without one fold of the numbers, and a number is
judged by the booster of its own fold: what was said of a number never comes back as its prior.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from services.common.errors import FailedPrecondition
from services.common.places import place

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

FOLDS = 3
MAX_TREES = 150
EARLY_STOPPING = 10
MIN_OWN = 200.0
"""Examples from which a category is a class of its own; the others of a group are one class."""
MIN_CLASS = 30.0
"""Examples without which a group is no class: nothing is said of it."""
MIN_SHARE = 0.02
"""Less probability than this of an example is left out."""
MAX_LOG_RATIO = 4.0
"""Behaviour alone makes no category more than e^4 times as likely or unlikely (about what two
honest marks do), for it was learned from what others did."""
KNOWN = "active_days"
"""The feature that is there where a carrier tells anything of a number."""
GROUPS = ("behaviour", "lifecycle", "plan")
"""Groups of features that no mark changes, but for those that are named after marks."""

PARAMETERS: dict[str, Any] = {
    "objective": "multiclass",
    "learning_rate": 0.1,
    "num_leaves": 4,
    "min_data_in_leaf": 80,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "max_bin": 127,
    "verbosity": -1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
}


@dataclass(frozen=True)
class PriorModel:
    """Boosters of the folds and their calibration.

    Attributes:
        boosters: FOLDS LightGBM models over the same classes.
        names: features, in order.
        classes: category ids ascending; 0 ordinary, below 10 the rest of a group.
        log_base: float64 (FOLDS, C), log share of each class in what each booster learned from.
        temperature: exponent on the ratios that made them fit numbers not learned from.
        version: names the model.
    """

    boosters: tuple[lgb.Booster, ...]
    names: tuple[str, ...]
    classes: tuple[int, ...]
    log_base: F64
    temperature: float
    version: str

    def columns(self, names: Sequence[str]) -> I64:
        """Where the model's features are among the names.

        Raises:
            FailedPrecondition: MODEL_FEATURES_MISMATCH.
        """
        at = {name: i for i, name in enumerate(names)}
        missing = [name for name in self.names if name not in at]
        if missing:
            raise FailedPrecondition(
                "MODEL_FEATURES_MISMATCH",
                f"model {self.version} expects features that are not there: {missing}",
                model="prior",
                version=self.version,
                missing=missing,
                unexpected=[],
            )
        return np.array([at[name] for name in self.names], dtype=np.int64)

    def log_ratios(self, numbers: I64, rows: F32) -> F32:
        """log P(class | behaviour) / P(class) of each number, float32 (n, C).

        Args:
            numbers: int64 (n,).
            rows: float32 (n, features) in the order of `names`; zeros come of rows in which KNOWN
                is not known.
        """
        result = tempered(self.untempered(numbers, rows), self.temperature)
        result[np.isnan(rows[:, self.names.index(KNOWN)])] = 0.0
        return result.astype(np.float32)

    def untempered(self, numbers: I64, rows: F32) -> F64:
        """The same as the boosters have it, float64 (n, C)."""
        result, fold = np.zeros((len(rows), len(self.classes))), folds(numbers)
        for i, booster in enumerate(self.boosters):
            of_fold = np.flatnonzero(fold == i)
            if len(of_fold):
                shares = np.asarray(booster.predict(rows[of_fold], num_threads=1))
                result[of_fold] = np.log(np.maximum(shares, 1e-9)) - self.log_base[i]
        return result


def tempered(log_ratio: F64, temperature: float) -> F64:
    """Ratios as they are handed on: to the power of the temperature, within bounds."""
    return np.clip(temperature * log_ratio, -MAX_LOG_RATIO, MAX_LOG_RATIO)


def folds(numbers: I64) -> I64:
    """Fold of each number, (n,), by a hash (Steele et al. 2014, SplitMix64)."""
    x = numbers.astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) % np.uint64(FOLDS)).astype(np.int64)


@dataclass(frozen=True)
class Targets:
    """What is taken for true of n numbers.

    Attributes:
        category: (n, m), category ids; 0: ordinary.
        probability: (n, m), of each, rows sum to at most 1.
        weight: float64 (n,), how much each number tells, in [0, 1].
    """

    category: I64
    probability: F64
    weight: F64

    def classes(self) -> tuple[int, ...]:
        """What can be told apart with so many examples, ascending."""
        mass: dict[int, float] = {}
        expected = self.probability * self.weight[:, None]
        for category in np.unique(self.category[expected > 0]).tolist():
            mass[category] = float(expected[self.category == category].sum())
        own = {c for c, found in mass.items() if found >= (MIN_OWN if c else MIN_CLASS)}
        rest: dict[int, float] = {}
        for category, found in mass.items():
            if category not in own and category:
                group = category if category < 10 else category // 1000
                rest[group] = rest.get(group, 0.0) + found
        return tuple(sorted(own | {group for group, found in rest.items() if found >= MIN_CLASS}))

    def by_class(self, classes: Sequence[int]) -> F64:
        """Probability of each class, (n, C); a category without a class is in none."""
        keys = np.array(classes, dtype=np.int64)
        at, own = place(keys, self.category)
        group_at, group = place(keys, np.where(self.category < 10, -1, self.category // 1000))
        at, there = np.where(own, at, group_at), own | group
        result = np.zeros((len(self.category), len(keys)))
        rows = np.broadcast_to(np.arange(len(at))[:, None], at.shape)
        np.add.at(result, (rows[there], at[there]), self.probability[there])
        return result


@dataclass(frozen=True)
class Fitted:
    """What was learned, and how right it is on numbers that each booster has not seen.

    Attributes:
        model: to be stored.
        tree_count: of each class and booster.
        out_of_fold: log_loss, base_log_loss, accuracy and ece of the most probable class.
    """

    model: PriorModel
    tree_count: int
    out_of_fold: dict[str, float]


def fit(
    names: tuple[str, ...], numbers: I64, rows: F32, targets: Targets, seed: int, version: str
) -> Fitted:
    """Learn from numbers of which behaviour is known; see `PriorModel`.

    Args:
        names: features, in order.
        numbers: int64 (n,), distinct.
        rows: float32 (n, features).
        targets: of the same numbers.

    Raises:
        FailedPrecondition: TRAINING_SET_TOO_SMALL.
    """
    classes = targets.classes()
    if len(classes) < 2:
        raise FailedPrecondition(
            "TRAINING_SET_TOO_SMALL",
            f"{len(classes)} classes have {MIN_CLASS:g} examples with behaviour; 2 are needed",
            positive_count=len(classes),
            negative_count=0,
            minimum=2,
        )
    truth = targets.by_class(classes) * targets.weight[:, None]
    fold = folds(numbers)
    row, label = np.nonzero(truth >= MIN_SHARE)
    weight = truth[row, label]
    log_base = np.log(
        np.array([truth[fold != i].sum(axis=0) + 0.5 for i in range(FOLDS)])
        / np.array([[truth[fold != i].sum() + 0.5 * len(classes)] for i in range(FOLDS)])
    )
    parameters = {**PARAMETERS, "seed": seed, "num_class": len(classes)}
    whole = lgb.Dataset(rows[row], label, weight=weight, params=parameters, free_raw_data=False)
    whole.construct()
    grown = []
    for i in range(FOLDS):
        grown.append(
            lgb.train(
                parameters,
                whole.subset(np.flatnonzero(fold[row] != i).tolist()),
                MAX_TREES,
                valid_sets=[whole.subset(np.flatnonzero(fold[row] == i).tolist())],
                callbacks=[lgb.early_stopping(EARLY_STOPPING, verbose=False)],
            )
        )
    # One length for all, for the fold left out must not choose that of its own booster.
    count = max(int(np.mean([booster.best_iteration for booster in grown])), 1)
    boosters = tuple(
        lgb.Booster(model_str=booster.model_to_string(num_iteration=count)) for booster in grown
    )
    plain = PriorModel(boosters, names, classes, log_base, 1.0, version)
    ratio, base = plain.untempered(numbers, rows), log_base[fold]
    temperature = fitting_temperature(ratio, base, truth)
    model = PriorModel(boosters, names, classes, log_base, temperature, version)
    shares = _shares(base + tempered(ratio, temperature))
    return Fitted(model, count, quality(shares, _shares(base), truth))


def fitting_temperature(log_ratio: F64, log_base: F64, truth: F64) -> float:
    """The exponent in [0, 1.5] under which ratios foretell what is true best.

    Temperature scaling (Guo et al. 2017, arXiv 1706.04599), by the log-loss of what the numbers'
    own marks say, which the boosters have not seen.

    Args:
        log_ratio, log_base: float64 (n, C).
        truth: float64 (n, C), weights of the classes.
    """

    def loss(temperature: float) -> float:
        logs = log_base + tempered(log_ratio, temperature)
        logs = logs - np.logaddexp.reduce(logs, axis=1, keepdims=True)
        return float(-(truth * logs).sum() / truth.sum())

    found = minimize_scalar(loss, bounds=(0.0, 1.5), method="bounded", options={"xatol": 0.01})
    return round(float(found.x), 3)


def quality(shares: F64, base: F64, truth: F64) -> dict[str, float]:
    """How well shares foretell weighted truth, all (n, C), beside the base rates."""
    total = truth.sum()
    weight = truth.sum(axis=1)
    best = shares.argmax(axis=1)
    rows = np.arange(len(shares))
    said, right = shares[rows, best], truth[rows, best]
    bins = np.minimum((said * 10).astype(int), 9)
    gap = np.bincount(bins, said * weight - right, minlength=10)
    return {
        "log_loss": float(-(truth * np.log(shares)).sum() / total),
        "base_log_loss": float(-(truth * np.log(base)).sum() / total),
        "accuracy": float(right.sum() / total),
        "base_accuracy": float(truth[rows, base.argmax(axis=1)].sum() / total),
        "ece": float(np.abs(gap).sum() / total),
    }


def _shares(logs: F64) -> F64:
    return np.asarray(np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True)))

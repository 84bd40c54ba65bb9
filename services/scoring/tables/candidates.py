"""What may take part in a score: views of a row, ways to grow trees, and each one's share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np

from services.common.errors import InvalidArgument
from services.scoring.tables import calibration
from services.scoring.tables.columns import Floats
from services.scoring.tables.features import COLUMNS, GROUPS, LABELS, LINKS, NUMBER, Features

VIEWS: Mapping[str, tuple[str, ...]] = {
    "own": (COLUMNS, NUMBER),
    "links": (COLUMNS, NUMBER, LINKS),
    "labels": (COLUMNS, NUMBER, LABELS),
    "all": GROUPS,
}
"""Groups of features side by side. One model of everything drowns good columns in many weak ones;
models of fewer err differently, and their mean errs less."""

OWN_VIEW = "own"
"""The view that needs no links."""


@dataclass(frozen=True)
class Style:
    """A way to grow trees.

    Attributes:
        parameters: of LightGBM.
        tree_counts: ensemble sizes that are tried, ascending.
        views: the views it is tried on.
    """

    parameters: Mapping[str, Any]
    tree_counts: tuple[int, ...]
    views: tuple[str, ...]


_COMMON: Mapping[str, Any] = {
    "objective": "binary",
    "num_leaves": 15,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
"""Few features a tree: many weak, unlike trees. One thread gives the same model everywhere."""

STYLES: Mapping[str, Style] = {
    "random": Style(
        {**_COMMON, "learning_rate": 0.03, "extra_trees": True}, (150, 300, 600, 900), tuple(VIEWS)
    ),
    "greedy": Style({**_COMMON, "learning_rate": 0.02}, (100, 200, 300, 450), (OWN_VIEW, "all")),
}
"""Random thresholds (Geurts et al. 2006, 10.1007/s10994-006-6226-1) and best thresholds;
docs/tables.md measures both beside LightGBM's defaults."""

ROUNDS = 20
"""Steps of the selection: shares are multiples of 1/20."""


@dataclass(frozen=True)
class Candidate:
    """A view with a style."""

    view: str
    style: str

    @property
    def name(self) -> str:
        """Such as "own/random"."""
        return f"{self.view}/{self.style}"


@dataclass(frozen=True)
class Part:
    """A candidate that takes part in the score.

    Attributes:
        view: its view.
        names: its features in order.
        tree_count: trees a booster.
        boosters: one a seed; their log-odds are averaged.
        share: its weight in the blend, (0, 1].
    """

    view: str
    names: tuple[str, ...]
    tree_count: int
    boosters: tuple[lgb.Booster, ...]
    share: float

    def odds(self, features: Features) -> Floats:
        """Mean log-odds, (rows,).

        Raises:
            InvalidArgument: MODEL_FEATURES_MISMATCH.
        """
        if features.names != self.names:
            odd = set(features.names) ^ set(self.names)
            raise InvalidArgument(
                "MODEL_FEATURES_MISMATCH",
                f"the model was fitted on other features: {', '.join(sorted(odd)) or 'order'}",
                features=",".join(sorted(odd)),
            )
        each = [booster.predict(features.matrix, raw_score=True) for booster in self.boosters]
        return np.asarray(np.mean(each, axis=0), dtype=np.float64)


def train(
    features: Features,
    label: Floats,
    categories: tuple[str, ...],
    style: str,
    tree_count: int,
    seed: int,
) -> lgb.Booster:
    """Grow trees on (rows, features) and 0.0 or 1.0 labels."""
    places = [place for place, name in enumerate(features.names) if name in categories]
    # Leaves of twenty rows would leave a table of a hundred without a single split.
    leaf_rows = min(20, max(3, len(label) // 100))
    return lgb.train(
        {**STYLES[style].parameters, "seed": seed, "min_data_in_leaf": leaf_rows},
        lgb.Dataset(
            features.matrix,
            label,
            feature_name=[f"f{place}" for place in range(len(features.names))],
            categorical_feature=places,
            free_raw_data=True,
        ),
        tree_count,
    )


def blend_shares(odds: Mapping[Candidate, Floats], label: Floats) -> dict[Candidate, float]:
    """How much each candidate counts, from log-odds of rows it had not seen.

    Forward selection with replacement by log loss (Caruana et al. 2004, 10.1145/1015330.1015432).
    Links take part only where they lower the loss of the best blend without them by more than one
    standard error of the paired difference (Breiman et al. 1984, one-standard-error rule).
    """
    own = {candidate: o for candidate, o in odds.items() if candidate.view == OWN_VIEW}
    shares = _select(odds, label)
    if not own or all(candidate.view == OWN_VIEW for candidate in shares):
        return shares
    plain = _select(own, label)
    gain = _losses(own, plain, label) - _losses(odds, shares, label)
    return plain if gain.mean() <= gain.std(ddof=1) / np.sqrt(len(gain)) else shares


def worth_going_on(odds: Mapping[Candidate, Floats], label: Floats) -> tuple[Candidate, ...]:
    """The candidates that one fold does not rule out: a race (Maron & Moore 1994, NIPS 6).

    Out is what loses to the best by a tenth of its log loss and three standard errors of the
    paired difference; such a candidate would get no share, and folds cost time.
    """
    losses = {c: calibration.log_losses(probabilities(o), label) for c, o in odds.items()}
    best = min(losses.values(), key=lambda each: float(each.mean()))

    def is_behind(each: Floats) -> bool:
        behind = each - best
        error = behind.std(ddof=1) / np.sqrt(len(behind))
        return bool(behind.mean() > max(0.1 * best.mean(), 3 * error))

    return tuple(c for c, each in losses.items() if not is_behind(each))


def blended(odds: Mapping[Candidate, Floats], shares: Mapping[Candidate, float]) -> Floats:
    """The log-odds of the blend, (rows,)."""
    return np.asarray(sum(share * odds[candidate] for candidate, share in shares.items()))


def probabilities(odds: Floats) -> Floats:
    """1 / (1 + e^-odds)."""
    return np.asarray(1 / (1 + np.exp(-odds)))


def loss(odds: Floats, label: Floats) -> float:
    """Mean log loss in nats."""
    return float(calibration.log_losses(probabilities(odds), label).mean())


def _select(odds: Mapping[Candidate, Floats], label: Floats) -> dict[Candidate, float]:
    total = np.zeros(len(label))
    chosen: list[Candidate] = []
    best = (np.inf, 0)
    for rounds in range(1, ROUNDS + 1):
        losses = {c: loss((total + o) / rounds, label) for c, o in odds.items()}
        candidate = min(losses, key=lambda c: losses[c])
        chosen.append(candidate)
        total += odds[candidate]
        best = min(best, (losses[candidate], rounds))
    kept = chosen[: best[1]]
    return {c: kept.count(c) / len(kept) for c in odds if c in kept}


def _losses(
    odds: Mapping[Candidate, Floats], shares: Mapping[Candidate, float], label: Floats
) -> Floats:
    return calibration.log_losses(probabilities(blended(odds, shares)), label)

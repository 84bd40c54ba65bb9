"""A yes/no classifier for any table: trees on a row's own features and on its links, blended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from services.common.errors import InvalidArgument
from services.scoring.tables import calibration, labels
from services.scoring.tables.columns import Floats, Ints, encode
from services.scoring.tables.features import (
    Describer,
    Features,
    Table,
    learn_describer,
    named,
    repeated_row,
)
from services.scoring.tables.graph import Edges, RowLinks

OWN, LINKED = "own", "linked"
"""The two candidates: a row's own features, and these beside its links'."""

TREES: Mapping[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "extra_trees": True,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
"""Random thresholds (Geurts et al. 2006) and few features a tree: many weak, unlike trees, which
docs/tables.md measures beside LightGBM's defaults. One thread gives the same model everywhere."""

TREE_COUNTS = (150, 300, 600, 900)
"""Ensemble sizes of which cross-validation takes the one with the least log loss."""

LINKED_SHARES = (0.25, 0.5, 0.75, 1.0)
"""Weights of the linked candidate in the blend that are tried against 0."""

FOLD_COUNT = 5
CLASS_ROWS = 10
"""Rows of each class below which nothing is learned: two a fold."""


@dataclass(frozen=True)
class Part:
    """One candidate that takes part in the score.

    Attributes:
        names: its features in order.
        tree_count: trees a booster.
        boosters: one a seed; their log-odds are averaged.
        share: its weight in the blend, (0, 1].
    """

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


class TableClassifier:
    """Learns P(label = 1) of a table's rows.

    Attributes:
        describer_: how rows become features.
        label_: (rows,) the fitted labels, NaN where unknown.
        fold_: (rows,) the fold whose labels were hidden from the row, -1 where unlabelled.
        parts_: the candidates in the blend.
        calibration_: from blended scores to probabilities.
        figures_: cross-validated figures.
    """

    def __init__(
        self,
        *,
        seed: int = 7,
        bag_count: int = 3,
        candidates: tuple[str, ...] = (OWN, LINKED),
    ) -> None:
        self.seed = seed
        self.bag_count = bag_count
        self.candidates = candidates
        self.describer_: Describer
        self.label_: Floats
        self.fold_: Ints
        self.parts_: dict[str, Part] = {}
        self.calibration_: calibration.Calibration
        self.figures_: dict[str, Any] = {}

    def fit(self, table: Table, label: Floats, edges: Edges | None = None) -> "TableClassifier":
        """Learn from the labelled rows; rows without label are neighbours only.

        Raises:
            InvalidArgument: TRAINING_SET_TOO_SMALL, FIELD_OUT_OF_RANGE for an id given twice.
        """
        _check(table, label)
        self.describer_ = learn_describer(table, edges)
        self.label_ = label
        rows = np.flatnonzero(~np.isnan(label))
        own = self.describer_.own(table.ids, self.describer_.values)
        plain: dict[str, Features] = {OWN: own}
        links = None
        if self.describer_.graph is not None:
            links = self.describer_.fitted_links()
            plain[LINKED] = own.beside(self.describer_.linked(table.ids, links))
        plain = {
            name: features
            for name, features in plain.items()
            if features.names and (name in self.candidates or len(plain) == 1)
        }
        if not plain:
            raise InvalidArgument("COLUMN_MISSING", "the table has no column to learn from")
        shares, tree_counts = self._choose(plain, links, rows)
        self.fold_ = np.full(len(label), -1, dtype=np.int64)
        for fold, (_, held) in enumerate(self._folds(label[rows])):
            self.fold_[rows[held]] = fold
        final = {name: self._with_labels(name, plain[name], links, label, rows) for name in shares}
        self.parts_ = {
            name: Part(
                features.names,
                tree_counts[name],
                tuple(
                    self._train(features, label[rows], rows, tree_counts[name], self.seed + bag)
                    for bag in range(self.bag_count)
                ),
                shares[name],
            )
            for name, features in final.items()
        }
        return self

    def predict(self, table: Table, edges: Edges | None = None) -> Floats:
        """P(label = 1) of each row, (rows,), independent of the other rows asked about.

        A row that was fitted is described with its own fold's labels hidden, as it was then.

        Raises:
            InvalidArgument: COLUMN_MISSING, FIELD_OUT_OF_RANGE, MODEL_FEATURES_MISMATCH.
        """
        values = encode(self.describer_.columns, table.texts, len(table))
        own = self.describer_.own(table.ids, values)
        features = {OWN: own}
        if LINKED in self.parts_:
            links = self.describer_.links(table.ids, edges)
            linked = own.beside(self.describer_.linked(table.ids, links))
            fold = np.where(links.own >= 0, np.append(self.fold_, -1)[self._row(links)], -1)
            features[LINKED] = linked.beside(self._label_features(links, fold, self.label_))
        odds = sum(
            (part.share * part.odds(features[name]) for name, part in self.parts_.items()),
            start=np.zeros(len(table)),
        )
        return calibration.apply(self.calibration_, 1 / (1 + np.exp(-odds)))

    def _row(self, links: RowLinks) -> Ints:
        """The fitted row of each row asked about, or one past the last."""
        count = len(self.fold_)
        return np.where((links.own >= 0) & (links.own < count), links.own, count)

    def _folds(self, label: Floats, part: int = 0) -> list[tuple[Ints, Ints]]:
        splitter = StratifiedKFold(FOLD_COUNT, shuffle=True, random_state=self.seed + part)
        return list(splitter.split(label, label))

    def _label_features(self, links: RowLinks, fold: Ints, label: Floats) -> Features:
        """What neighbours' labels tell each row, its own fold's labels hidden."""
        assert self.describer_.graph is not None
        result: Features | None = None
        for hidden in np.unique(fold):
            rows = np.flatnonzero(fold == hidden)
            seen = label.copy()
            if hidden >= 0:
                seen[self.fold_ == hidden] = np.nan
            tables = labels.tabulate(self.describer_.graph, seen)
            part = named(labels.label_features(tables, links.take(rows)), len(rows))
            if result is None:
                result = Features(part.names, np.zeros((len(fold), len(part.names))))
            result.matrix[rows] = part.matrix
        if result is None:
            tables = labels.tabulate(self.describer_.graph, label)
            return named(labels.label_features(tables, links), 0)
        return result

    def _with_labels(
        self, name: str, plain: Features, links: RowLinks | None, label: Floats, rows: Ints
    ) -> Features:
        """The rows' features, for the linked candidate with neighbours' labels out of fold."""
        part = Features(plain.names, plain.matrix[rows])
        if name != LINKED or links is None:
            return part
        return part.beside(self._label_features(links.take(rows), self.fold_[rows], label))

    def _train(
        self, features: Features, label: Floats, rows: Ints, tree_count: int, seed: int
    ) -> lgb.Booster:
        categories = set(self.describer_.category_names)
        places = [place for place, name in enumerate(features.names) if name in categories]
        # Leaves of twenty rows would leave a table of a hundred without a single split.
        leaf_rows = min(20, max(3, len(rows) // 100))
        return lgb.train(
            {**TREES, "seed": seed, "min_data_in_leaf": leaf_rows},
            lgb.Dataset(
                features.matrix,
                label,
                feature_name=[f"f{place}" for place in range(len(features.names))],
                categorical_feature=places,
                free_raw_data=True,
            ),
            tree_count,
        )

    def _choose(
        self, plain: dict[str, Features], links: RowLinks | None, rows: Ints
    ) -> tuple[dict[str, float], dict[str, int]]:
        """Cross-validate everything that is chosen: sizes, blend, calibration.

        The held-out fold's labels are hidden from all features of the rows trained on too, and
        among these every row again sees the labels of other inner folds only.
        """
        label = self.label_[rows]
        scores = {name: np.zeros((len(TREE_COUNTS), len(rows))) for name in plain}
        for part, (trained, held) in enumerate(self._folds(label)):
            seen = self.label_.copy()
            seen[rows[held]] = np.nan
            self.fold_ = np.full(len(seen), -1, dtype=np.int64)
            for fold, (_, inner) in enumerate(self._folds(label[trained], part + 1)):
                self.fold_[rows[trained[inner]]] = fold
            for name, features in plain.items():
                # Held-out rows are in no inner fold: they see all labels but their fold's.
                both = self._with_labels(name, features, links, seen, rows)
                booster = self._train(
                    Features(both.names, both.matrix[trained]),
                    label[trained],
                    trained,
                    TREE_COUNTS[-1],
                    self.seed,
                )
                for place, count in enumerate(TREE_COUNTS):
                    scores[name][place, held] = booster.predict(
                        both.matrix[held], raw_score=True, num_iteration=count
                    )
        best = {name: int(np.argmin([_loss(s, label) for s in scores[name]])) for name in scores}
        odds = {name: scores[name][best[name]] for name in scores}
        shares = blend_shares(odds, label)
        blended = sum((shares[n] * odds[n] for n in shares), start=np.zeros(len(rows)))
        score = 1 / (1 + np.exp(-blended))
        self.calibration_, probability = calibration.choose(score, label, self.seed)
        self.figures_ = figures(probability, label) | {
            "rows": len(rows),
            "positives": int(label.sum()),
            "candidates": {n: figures(1 / (1 + np.exp(-o)), label) for n, o in odds.items()},
            "shares": shares,
        }
        return shares, {name: TREE_COUNTS[best[name]] for name in shares}


def blend_shares(odds: dict[str, Floats], label: Floats) -> dict[str, float]:
    """How much each candidate counts: the links only where they lower the log loss by more than
    one standard error of the paired difference (Breiman et al. 1984, one-standard-error rule).
    """
    if len(odds) == 1:
        return dict.fromkeys(odds, 1.0)

    def losses(share: float) -> Floats:
        blended = share * odds[LINKED] + (1 - share) * odds[OWN]
        return calibration.log_losses(1 / (1 + np.exp(-blended)), label)

    plain = losses(0.0)
    tried = {share: losses(share) for share in LINKED_SHARES}
    share = min(tried, key=lambda s: float(tried[s].mean()))
    gain = plain - tried[share]
    if gain.mean() <= gain.std(ddof=1) / np.sqrt(len(gain)):
        return {OWN: 1.0}
    return {name: s for name, s in ((OWN, 1 - share), (LINKED, share)) if s > 0}


def figures(probability: Floats, label: Floats) -> dict[str, float]:
    """How good probabilities are: ranking, decision at 0.5, calibration."""
    return {
        "auc": float(roc_auc_score(label, probability)),
        "pr_auc": float(average_precision_score(label, probability)),
        "f1": float(f1_score(label, probability >= 0.5, zero_division=0.0)),
        "ece": calibration.expected_calibration_error(probability, label),
        "log_loss": float(calibration.log_losses(probability, label).mean()),
        "brier": float(np.mean((probability - label) ** 2)),
    }


def _loss(odds: Floats, label: Floats) -> float:
    return float(calibration.log_losses(1 / (1 + np.exp(-odds)), label).mean())


def _check(table: Table, label: Floats) -> None:
    counts = int(np.nansum(label == 0)), int(np.nansum(label == 1))
    if min(counts) < CLASS_ROWS:
        raise InvalidArgument(
            "TRAINING_SET_TOO_SMALL",
            f"each class needs at least {CLASS_ROWS} rows; there are {counts[0]} and {counts[1]}",
            negatives=counts[0],
            positives=counts[1],
        )
    place = repeated_row(table.ids)
    if place is not None:
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE", f"line {place + 2}: the id stood above already", line=place + 2
        )

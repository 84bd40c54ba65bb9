"""A yes/no classifier for any table: trees on several views of a row, blended and calibrated."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from services.common.errors import InvalidArgument
from services.scoring import domain
from services.scoring.tables import calibration
from services.scoring.tables.candidates import (
    OWN_VIEW,
    STYLES,
    VIEWS,
    Candidate,
    Part,
    blend_shares,
    blended,
    loss,
    probabilities,
    train,
    worth_going_on,
)
from services.scoring.tables.columns import Floats, Ints, encode
from services.scoring.tables.features import (
    GROUPS,
    LABELS,
    Blocks,
    Describer,
    Features,
    Rows,
    Table,
    beside,
    group_of,
    learn_describer,
    repeated_row,
)
from services.scoring.tables.graph import Edges, RowLinks

FOLD_COUNT = 5
CLASS_ROWS = 10
"""Rows of each class below which nothing is learned: two a fold."""


class TableClassifier:
    """Learns P(label = 1) of a table's rows.

    Attributes:
        describer_: how rows become features.
        label_: (rows,) the fitted labels, NaN where unknown.
        fold_: (rows,) the fold whose labels were hidden from the row, -1 where unlabelled.
        parts_: the candidates in the blend, by name.
        calibration_: from blended scores to probabilities.
        figures_: cross-validated figures.
    """

    def __init__(self, *, seed: int = 7, bag_count: int = 3, without: tuple[str, ...] = ()) -> None:
        """Keep the settings.

        Args:
            seed: of folds and trees.
            bag_count: boosters a part, grown from different seeds.
            without: groups of features that are left out, to see what they are worth.
        """
        self.seed = seed
        self.bag_count = bag_count
        self.without = without
        self.describer_: Describer
        self.label_: Floats
        self.fold_: Ints
        self.parts_: dict[str, Part] = {}
        self.calibration_: calibration.Calibration
        self.figures_: dict[str, Any] = {}

    def fit(self, table: Table, label: Floats, edges: Edges | None = None) -> "TableClassifier":
        """Learn from the labelled rows; rows without label are neighbours only.

        Raises:
            InvalidArgument: TRAINING_SET_TOO_SMALL, FIELD_OUT_OF_RANGE for an id given twice,
                COLUMN_MISSING for a table with nothing to learn from.
        """
        _check(table, label)
        self.describer_ = learn_describer(table, edges)
        self.label_ = label
        labelled = np.flatnonzero(~np.isnan(label))
        every = self.describer_.fitted_rows()
        rows = every.take(labelled)
        plain = {
            group: features.take(labelled)
            for group, features in self.describer_.blocks(self.describer_.values, every).items()
            if group not in self.without
        }
        with_labels = rows.links is not None and LABELS not in self.without
        candidates = _candidates(plain, with_labels)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
            shares, tree_counts = self._choose(threads, candidates, plain, rows, labelled)
            self.fold_ = np.full(len(label), -1, dtype=np.int64)
            for fold, (_, held) in enumerate(self._folds(label[labelled])):
                self.fold_[labelled[held]] = fold
            blocks = self._beside_labels(plain, rows, shares, self.fold_[labelled], label)
            self.parts_ = self._grow(threads, blocks, label[labelled], shares, tree_counts)
        return self

    def predict(self, table: Table, edges: Edges | None = None) -> Floats:
        """P(label = 1) of each row, (rows,), independent of the other rows asked about.

        A row that was fitted is described with its own fold's labels hidden, as it was then.

        Raises:
            InvalidArgument: COLUMN_MISSING, FIELD_OUT_OF_RANGE, MODEL_FEATURES_MISMATCH.
        """
        values = encode(self.describer_.columns, table.texts, len(table))
        rows = self.describer_.rows(table.ids, edges)
        blocks = {
            group: features
            for group, features in self.describer_.blocks(values, rows).items()
            if group not in self.without
        }
        if self.has_labels and rows.links is not None:
            own = rows.links.own
            fold = np.where(own >= 0, np.append(self.fold_, -1)[self._row(rows.links)], -1)
            blocks[LABELS] = self._label_block(rows, fold, self.label_)
        odds = sum(
            (
                part.share * part.odds(beside(blocks, VIEWS[part.view]))
                for part in self.parts_.values()
            ),
            start=np.zeros(len(table)),
        )
        return calibration.apply(self.calibration_, probabilities(odds))

    @property
    def has_graph(self) -> bool:
        """Whether links take part in the score."""
        return any(part.view != OWN_VIEW for part in self.parts_.values())

    @property
    def has_labels(self) -> bool:
        """Whether neighbours' labels take part in the score."""
        return any(group_of(name) == LABELS for part in self.parts_.values() for name in part.names)

    def importances(self) -> list[tuple[str, str, float]]:
        """(feature, its group, share of the trees' gain), each part by its share in the blend."""
        gains: dict[str, float] = {}
        for part in self.parts_.values():
            each = [booster.feature_importance("gain") for booster in part.boosters]
            gain = np.sum(each, axis=0)
            for name, share in zip(part.names, gain / max(gain.sum(), 1e-300), strict=True):
                gains[name] = gains.get(name, 0.0) + part.share * float(share)
        ranked = sorted(gains.items(), key=lambda item: (-item[1], item[0]))
        return [(name, group_of(name), gain) for name, gain in ranked]

    def _row(self, links: RowLinks) -> Ints:
        """The fitted row of each row asked about, or one past the last."""
        count = len(self.fold_)
        return np.where((links.own >= 0) & (links.own < count), links.own, count)

    def _folds(self, label: Floats, part: int = 0) -> list[tuple[Ints, Ints]]:
        splitter = StratifiedKFold(FOLD_COUNT, shuffle=True, random_state=self.seed + part)
        return list(splitter.split(label, label))

    def _label_block(self, rows: Rows, fold: Ints, label: Floats) -> Features:
        """What neighbours' labels tell each row, its own fold's labels hidden."""
        parts = []
        for hidden in np.unique(fold):
            chosen = np.flatnonzero(fold == hidden)
            seen = label.copy()
            if hidden >= 0:
                seen[self.fold_ == hidden] = np.nan
            parts.append((chosen, self.describer_.label_block(rows.take(chosen), seen)))
        if not parts:
            return self.describer_.label_block(rows, label)
        matrix = np.zeros((rows.count, len(parts[0][1].names)))
        for chosen, part in parts:
            matrix[chosen] = part.matrix
        return Features(parts[0][1].names, matrix)

    def _beside_labels(
        self,
        plain: Blocks,
        rows: Rows,
        candidates: Mapping[Candidate, Any],
        fold: Ints,
        label: Floats,
    ) -> dict[str, Features]:
        """The blocks, with neighbours' labels out of fold where a candidate looks at them."""
        uses = any(LABELS in VIEWS[candidate.view] for candidate in candidates)
        if not uses or rows.links is None or LABELS in self.without:
            return dict(plain)
        return {**plain, LABELS: self._label_block(rows, fold, label)}

    def _grow(
        self,
        threads: ThreadPoolExecutor,
        blocks: Blocks,
        label: Floats,
        shares: Mapping[Candidate, float],
        tree_counts: Mapping[Candidate, int],
    ) -> dict[str, Part]:
        parts = {}
        for candidate, share in shares.items():
            features = beside(blocks, VIEWS[candidate.view])
            boosters = threads.map(
                lambda seed, features=features, candidate=candidate: train(
                    features,
                    label,
                    self.describer_.category_names,
                    candidate.style,
                    tree_counts[candidate],
                    seed,
                ),
                range(self.seed, self.seed + self.bag_count),
            )
            parts[candidate.name] = Part(
                candidate.view, features.names, tree_counts[candidate], tuple(boosters), share
            )
        return parts

    def _choose(
        self,
        threads: ThreadPoolExecutor,
        candidates: tuple[Candidate, ...],
        plain: Blocks,
        rows: Rows,
        labelled: Ints,
    ) -> tuple[dict[Candidate, float], dict[Candidate, int]]:
        """Cross-validate everything that is chosen: sizes, blend, calibration.

        The held-out fold's labels are hidden from all features of the rows trained on too, and
        among these every row again sees the labels of other inner folds only.
        """
        label = self.label_[labelled]
        scores = {c: np.zeros((len(STYLES[c.style].tree_counts), len(label))) for c in candidates}
        for part, (trained, held) in enumerate(self._folds(label)):
            seen = self.label_.copy()
            seen[labelled[held]] = np.nan
            self.fold_ = np.full(len(seen), -1, dtype=np.int64)
            for fold, (_, inner) in enumerate(self._folds(label[trained], part + 1)):
                self.fold_[labelled[trained[inner]]] = fold
            # Held-out rows are in no inner fold: they see all labels but their fold's.
            blocks = self._beside_labels(
                plain, rows, dict.fromkeys(candidates), self.fold_[labelled], seen
            )

            def judge(
                candidate: Candidate,
                blocks: Blocks = blocks,
                trained: Ints = trained,
                held: Ints = held,
            ) -> None:
                features = beside(blocks, VIEWS[candidate.view])
                counts = STYLES[candidate.style].tree_counts
                booster = train(
                    features.take(trained),
                    label[trained],
                    self.describer_.category_names,
                    candidate.style,
                    counts[-1],
                    self.seed,
                )
                asked = features.matrix[held]
                for place, count in enumerate(counts):
                    scores[candidate][place, held] = booster.predict(
                        asked, raw_score=True, num_iteration=count, num_threads=1
                    )

            list(threads.map(judge, candidates))
            if part == 0:
                asked = label[held]
                first = {c: min(scores[c][:, held], key=lambda o: loss(o, asked)) for c in scores}
                candidates = worth_going_on(first, asked)
        best = {c: int(np.argmin([loss(s, label) for s in scores[c]])) for c in candidates}
        odds = {c: scores[c][best[c]] for c in candidates}
        shares = blend_shares(odds, label)
        score = probabilities(blended(odds, shares))
        self.calibration_, probability = calibration.choose(score, label, self.seed)
        self.figures_ = figures(probability, label) | {
            "rows": len(label),
            "positives": int(label.sum()),
            "candidates": {c.name: figures(probabilities(o), label) for c, o in odds.items()},
            "shares": {c.name: share for c, share in shares.items()},
        }
        return shares, {c: STYLES[c.style].tree_counts[best[c]] for c in shares}


def figures(probability: Floats, label: Floats) -> dict[str, float]:
    """How good probabilities are: ranking, decision at 0.5, calibration."""
    return domain.metrics(probability, label > 0) | {
        "f1": float(f1_score(label, probability >= 0.5, zero_division=0.0)),
        "log_loss": float(calibration.log_losses(probability, label).mean()),
    }


def _candidates(plain: Blocks, with_labels: bool) -> tuple[Candidate, ...]:
    """The views that differ, in every style that is tried on them."""
    there = [g for g in GROUPS if g in plain or (g == LABELS and with_labels)]
    found: list[Candidate] = []
    seen: set[tuple[str, ...]] = set()
    for view, groups in VIEWS.items():
        held = tuple(group for group in groups if group in there)
        if not held or held in seen:
            continue
        seen.add(held)
        whole = held == tuple(there)
        found += [
            Candidate(view, name)
            for name, style in STYLES.items()
            if view in style.views or (whole and "all" in style.views)
        ]
    if not found:
        raise InvalidArgument("COLUMN_MISSING", "the table has no column to learn from")
    return tuple(found)


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

"""How far verdicts on numbers agree with the truth: category, detection, calibration, false bad."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from services.common.intervals import upper_bound

NO_CATEGORY = 0
"""Stands in category arrays for "nothing said" or "no right category" (no code has the id 0)."""
WARNING_LEVEL = 2
_CALIBRATION_BINS = 10
_GROUP_SPAN = 1000  # A3107 is id 3107, its group A3


@dataclass(frozen=True)
class Truth:
    """What is true of n numbers: category id (0 where none is right) and whether it is bad."""

    category: NDArray[np.int64]
    bad: NDArray[np.bool_]


@dataclass(frozen=True)
class Verdicts:
    """What one party says of the same n numbers.

    Attributes:
        category: id, 0 where it says nothing.
        score: readiness to call the number bad, in [0, 1]; NaN where the number is unknown to it.
        warned: whether it would warn of a call, level >= 2.
    """

    category: NDArray[np.int64]
    score: NDArray[np.float64]
    warned: NDArray[np.bool_]


def category_accuracy(
    truth: Truth,
    said: NDArray[np.int64],
    wider: Mapping[int, frozenset[int]],
    among: NDArray[np.bool_],
) -> dict[str, Any]:
    """Agreement on the category over the numbers `among` that have a right one.

    Args:
        truth: what is true.
        said: category ids, 0 for nothing said; that counts as wrong.
        wider: for each category id, the ids that contain it.
        among: the numbers to judge on.

    Returns:
        `n`; `labelled_share` for which anything was said; `exact`; `group` (same A1…A4);
        `lineage` (right, or a category that contains the right one); `exact_labelled`, the exact
        share among those labelled. Shares are None where there is nothing to divide by.
    """
    judged = among & (truth.category != NO_CATEGORY)
    right, given = truth.category[judged], said[judged]
    labelled = given != NO_CATEGORY
    exact = given == right
    # A category that contains the right one: decided once per distinct pair.
    pairs, position = np.unique(np.stack([right, given]), axis=1, return_inverse=True)
    contains = np.array(
        [given_id in wider.get(right_id, frozenset()) for right_id, given_id in pairs.T.tolist()],
        dtype=bool,
    )
    lineage = exact | contains[position.reshape(-1)] if len(right) else exact
    return {
        "n": len(right),
        "labelled_share": _share(labelled.sum(), len(right)),
        "exact": _share(exact.sum(), len(right)),
        "group": _share((labelled & (_group(given) == _group(right))).sum(), len(right)),
        "lineage": _share(lineage.sum(), len(right)),
        "exact_labelled": _share(exact.sum(), int(labelled.sum())),
    }


def _group(category: NDArray[np.int64]) -> NDArray[np.int64]:
    """The digit of a category's group: 1 for A1100 (id 1100) and for A1 (id 1)."""
    return np.where(category >= _GROUP_SPAN, category // _GROUP_SPAN, category)


def detection(truth: Truth, verdicts: Verdicts, among: NDArray[np.bool_]) -> dict[str, Any]:
    """How well bad is told from good over the numbers `among`.

    `auc` and `pr_auc` rank by score, a number unknown to the party ranking as 0: a caller of whom
    nothing is known is let through. `precision`, `recall`, `f1` judge the warnings. `false_bad` is
    the share of good numbers warned of, with a one-sided 95 % Clopper-Pearson upper bound.
    `ece` (10 equal bins) and `brier` judge the score as a probability, only where there is one.
    """
    bad = truth.bad[among]
    score, warned = verdicts.score[among], verdicts.warned[among]
    ranked = np.nan_to_num(score, nan=0.0)
    hits, false_alarms = int((warned & bad).sum()), int((warned & ~bad).sum())
    positives, good = int(bad.sum()), int((~bad).sum())
    precision, recall = _share(hits, hits + false_alarms), _share(hits, positives)
    scored = ~np.isnan(score)
    return {
        "n": len(bad),
        "bad": positives,
        "scored_share": _share(scored.sum(), len(bad)),
        "auc": roc_auc(bad, ranked),
        "pr_auc": average_precision(bad, ranked),
        "precision": precision,
        "recall": recall,
        "f1": _share(2 * hits, 2 * hits + false_alarms + positives - hits),
        "ece": expected_calibration_error(bad[scored], score[scored]),
        "brier": brier_score(bad[scored], score[scored]),
        "false_bad": {
            "count": false_alarms,
            "good": good,
            "rate": _share(false_alarms, good),
            "upper_95": upper_bound(false_alarms, good) if good else None,
        },
    }


def roc_auc(bad: NDArray[np.bool_], score: NDArray[np.float64]) -> float | None:
    """Area under the ROC curve, ties counted half (Mann and Whitney 1947, Fawcett 2006).

    None unless both kinds are there.
    """
    positives, negatives = int(bad.sum()), int((~bad).sum())
    if positives == 0 or negatives == 0:
        return None
    ranks = stats.rankdata(score)
    return float((ranks[bad].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(bad: NDArray[np.bool_], score: NDArray[np.float64]) -> float | None:
    """Mean precision over the recall steps, equal scores taken together; None without a bad one."""
    if not bad.any():
        return None
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(bad[order])
    last_of_tie = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    precision = hits[last_of_tie] / (last_of_tie + 1)
    recall = hits[last_of_tie] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def expected_calibration_error(bad: NDArray[np.bool_], score: NDArray[np.float64]) -> float | None:
    """Mean gap of score and share of bad in 10 equal bins, by size (Naeini et al. 2015)."""
    if len(bad) == 0:
        return None
    bins = np.minimum((score * _CALIBRATION_BINS).astype(np.int64), _CALIBRATION_BINS - 1)
    said = np.bincount(bins, score, _CALIBRATION_BINS)
    seen = np.bincount(bins, bad, _CALIBRATION_BINS)
    return float(np.abs(said - seen).sum() / len(bad))


def brier_score(bad: NDArray[np.bool_], score: NDArray[np.float64]) -> float | None:
    """Mean squared difference of score and outcome (Brier 1950)."""
    return float(np.mean((score - bad) ** 2)) if len(bad) else None


def vote(
    number: NDArray[np.int64],
    category: NDArray[np.int64],
    weight: NDArray[np.float64],
    count: int,
    level: Mapping[int, int],
) -> Verdicts:
    """Majority vote: the category with the most weight, the lower id on a tie.

    Args:
        number: which of the `count` numbers each vote is about.
        category: id voted for.
        weight: of the vote, > 0; a mark whose label spreads over categories splits its one vote.
        count: how many numbers there are.
        level: warning level of each category id.

    Returns:
        For numbers without a vote, category 0, score NaN and no warning; for the others the score
        is the share of votes for categories of warning level 2 and above.
    """
    ids, position = np.unique(category, return_inverse=True)
    warns = np.array([level.get(int(i), 0) >= WARNING_LEVEL for i in ids], dtype=bool)
    keys, slot = np.unique(number * max(len(ids), 1) + position, return_inverse=True)
    sums = np.bincount(slot, weight, len(keys))
    owner, choice = np.divmod(keys, max(len(ids), 1))
    # The heaviest of each number stands last; rounding keeps equal sums equal.
    order = np.lexsort((-choice, np.round(sums, 9), owner))
    last = np.append(np.flatnonzero(np.diff(owner[order])), len(order) - 1)[: len(order)]
    best = order[last]
    said = np.full(count, NO_CATEGORY, dtype=np.int64)
    said[owner[best]] = ids[choice[best]]
    warned = np.zeros(count, dtype=bool)
    warned[owner[best]] = warns[choice[best]]
    total = np.bincount(number, weight, count)
    hostile = np.bincount(number, weight * warns[position], count)
    with np.errstate(invalid="ignore"):
        score = np.minimum(hostile / np.where(total > 0, total, np.nan), 1.0)
    return Verdicts(said, score, warned)


def judge(
    truth: Truth,
    verdicts: Verdicts,
    wider: Mapping[int, frozenset[int]],
    marked: NDArray[np.bool_],
) -> dict[str, Any]:
    """The whole judgement of one party: category over the marked, detection over all and marked."""
    return {
        "category": category_accuracy(truth, verdicts.category, wider, marked),
        "bad": detection(truth, verdicts, np.ones(len(truth.bad), dtype=bool)),
        "bad_marked": detection(truth, verdicts, marked),
    }


def _share(part: int | np.integer[Any], whole: int) -> float | None:
    return float(part) / whole if whole else None

"""Weighing marks against each other: Dawid-Skene with one confusion matrix a source. Pure.

For number i with marks j of labels y_j, and categories k (0: an ordinary number):

    log post_i(k) = log prior(k) + Σ_j w_j · log[h_j · C_s(y_j | k) + (1 − h_j) · q_s(y_j)] − log Z

(Dawid and Skene 1979, doi 10.2307/2346806; honesty h as in `honesty`). A source answers in its
own words, so its matrix C has a column for each of its labels. The matrices are smoothed towards
what the crosswalk says that a label means (Dirichlet, as Raykar et al. 2010, JMLR 11:1297).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from services.arbitration.honesty import (
    LEVELS,
    QUARANTINE,
    Honesty,
    expected_strata,
    lacks_call,
    starting_honesty,
)
from services.common.places import place

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

DAY_MS = 86_400_000
ORDINARY = 0
"""The category of an ordinary number: nothing to say."""

COMPETENCE = 0.75
"""Prior share of a source's marks that mean what the crosswalk says; the rest is its label mix."""

SMOOTHING_MARKS = 10.0
"""Strength of that prior, in marks for each category and source."""

ORDINARY_PRIOR = 0.05
"""Prior probability that a marked number is ordinary. Low, for what looks random to a matrix is
more often sources that err; whether calls contradict the marks is for the behaviour to say."""

PRIOR_STRENGTH = 50.0
"""Strength of the starting class prior, in numbers."""

NO_PROOF_WEIGHT = 0.5
"""Weight of a person's mark without proof of a call, where its source gives some (china.md R07)."""

USER = 1
"""MarkKind of a person's mark."""

KIND_WEIGHTS = np.array([1.0, 1.0, 0.5, 0.25, 1.0, 1.0])
"""By MarkKind: imported lists and self-given names weigh less (china.md 6, three channels)."""

TESTIFYING = 0.8
"""Expected honesty of a kind of marks from which they judge others: in plain words, there was a
call, nobody else spoke in the same minutes, and the reporter travels alone."""
MIN_COPYING = 0.05
"""Less than this is taken for none."""

TOP = 5
"""Categories kept of a posterior."""


@dataclass(frozen=True)
class Vocabulary:
    """The labels that occur and what they may mean; labels ascending.

    Attributes:
        labels: uint64 (L,), label keys ascending.
        sources: uint64 (L,), their sources.
        categories: uint16 (K,), ascending, first ORDINARY.
        meaning: float64 (L, K), P(category | label) by the crosswalk; rows sum to 1.
        half_life_ms: float64 (L,), of the label's most probable category.
    """

    labels: U64
    sources: U64
    categories: npt.NDArray[np.uint16]
    meaning: F64
    half_life_ms: F64

    @cached_property
    def source_keys(self) -> U64:
        """The distinct sources, ascending, (S,)."""
        return np.unique(self.sources)

    @cached_property
    def source_at(self) -> I64:
        """Place of each label's source among them, (L,)."""
        return np.searchsorted(self.source_keys, self.sources)

    @cached_property
    def top_category(self) -> I64:
        """Place of each label's most probable category, (L,)."""
        return np.asarray(self.meaning.argmax(axis=1))

    @property
    def source_count(self) -> int:
        """How many distinct sources."""
        return len(self.source_keys)


@dataclass(frozen=True)
class Marks:
    """Marks that stand, ordered by number; m entries each.

    Attributes:
        numbers: int64 (n,), the distinct numbers, ascending.
        number_at: int64 (m,), places in `numbers`, ascending.
        label_at: int64 (m,), places in the vocabulary.
        source_at: int64 (m,), places among the vocabulary's distinct sources.
        weight: float64 (m,), in [0, 1] before saturation.
        occurred_ms: int64 (m,).
        reporter_at: int64 (m,), places among the known reporters, -1 unknown.
        trait: (m,), kind of the mark, see `honesty.traits`.
        judges: bool (m,), whether it may judge reporters: made before a verdict was visible.
        mark_key: uint64 (m,).
    """

    numbers: I64
    number_at: I64
    label_at: I64
    source_at: I64
    weight: F64
    occurred_ms: I64
    reporter_at: I64
    trait: I64
    judges: npt.NDArray[np.bool_]
    mark_key: U64

    def packed(self) -> "Marks":
        """The same in half the memory: to be kept, not to be computed with."""
        return self._cast(_PACKED)

    def unpacked(self) -> "Marks":
        """What `packed` has packed."""
        return self._cast(dict.fromkeys(_PACKED, np.int64) | {"weight": np.float64})

    def _cast(self, kinds: Mapping[str, type]) -> "Marks":
        columns = {name: getattr(self, name).astype(kind) for name, kind in kinds.items()}
        return replace(self, **columns)


_PACKED = {
    "number_at": np.int32, "label_at": np.int32, "source_at": np.int16, "weight": np.float32,
    "reporter_at": np.int32, "trait": np.uint8,
}  # fmt: skip


@dataclass(frozen=True)
class Accuracies:
    """What a pass has learned.

    Attributes:
        log_confusion: float64 (L, K), log P(label | category) within the label's source, by
            honest marks.
        log_noise: float64 (L,), log P(label) within the source by dishonest ones.
        log_prior: float64 (K,).
        honesty: of marks, by kind and reporter.
        copying: float64 (S, S), how far a source (column) repeats another (row), in [0, 1].
        iteration_count: iterations until the posteriors settled.
    """

    log_confusion: F64
    log_noise: F64
    log_prior: F64
    honesty: Honesty
    copying: F64
    iteration_count: int = 0

    def table(self) -> F64:
        """Log-likelihood of each label at each level of honesty, (L * levels, K)."""
        honest = LEVELS[None, :, None] * np.exp(self.log_confusion)[:, None, :]
        other = (1 - LEVELS)[None, :, None] * np.exp(self.log_noise)[:, None, None]
        width = self.log_confusion.shape[1]
        return np.asarray(np.log(honest + other).reshape(-1, width))


def latest_of_reporter(
    numbers: I64, source_at: I64, reporter: U64, occurred_ms: I64
) -> npt.NDArray[np.bool_]:
    """Which marks stand, bool (m,): a reporter's newest for a number; all without a reporter."""
    keep = np.ones(len(numbers), dtype=bool)
    # Few mark twice: a mixed key finds those who may have, and only they are put in order.
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # Knuth, TAOCP 6.4
    mixed = (mixed ^ reporter) * np.uint64(0xC2B2AE3D27D4EB4F) + source_at.astype(np.uint64)
    ordered = np.sort(mixed)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    rows = np.flatnonzero(np.isin(mixed, twice) & (reporter != 0))
    order = rows[np.lexsort((occurred_ms[rows], reporter[rows], source_at[rows], numbers[rows]))]
    n, s, r = numbers[order], source_at[order], reporter[order]
    again = (n[1:] == n[:-1]) & (s[1:] == s[:-1]) & (r[1:] == r[:-1])
    keep[order[:-1][again]] = False
    return keep


def mark_weights(
    age_ms: I64,
    half_life_ms: F64,
    has_call: npt.NDArray[np.bool_],
    source_gives_proof: npt.NDArray[np.bool_],
    kind: npt.NDArray[np.uint8],
) -> F64:
    """Weight of each mark in [0, 1]: half-life of its category, proof of a call, kind."""
    weight = np.exp2(-np.maximum(age_ms, 0) / half_life_ms) * KIND_WEIGHTS[kind]
    unproved = source_gives_proof & ~has_call & (kind == USER)
    return np.where(unproved, NO_PROOF_WEIGHT * weight, weight)


def compare(number_at: I64, weight: F64, count: int) -> F64:
    """Weights relative to the best mark of the same number, by their square root; (m,) in [0, 1].

    An old or unproved mark is worth less than a better one about the same number. Alone it is
    still all that was said of it: scaled down, it would be overruled by the class prior, which
    knows nothing of this number. The root keeps a second opinion audible (docs/decisions.md).
    """
    best = np.zeros(count)
    np.maximum.at(best, number_at, weight)
    return np.sqrt(np.divide(weight, best[number_at], out=np.zeros_like(weight), where=weight > 0))


def mark_levels(marks: Marks, vocabulary: Vocabulary, honesty: Honesty) -> I64:
    """Place of each mark's honesty in LEVELS, (m,).

    A mark without a call that repeats what another source said of the number before is worth at
    most what it repeats: copies of a lie are lies, however many there are.
    """
    level = honesty.of_marks(marks.source_at, marks.trait, marks.reporter_at)
    bare = lacks_call(marks.trait)
    if not bare.any() or vocabulary.source_count < 2:
        return level
    category = vocabulary.top_category[marks.label_at]
    concerned = np.bincount(marks.number_at[bare], minlength=len(marks.numbers)) > 0
    rows = np.flatnonzero(concerned[marks.number_at])
    key = marks.number_at[rows] * len(vocabulary.categories) + category[rows]
    order = np.lexsort((marks.occurred_ms[rows], key))
    rows, key = rows[order], key[order]
    group = np.cumsum(np.append(False, key[1:] != key[:-1]))
    base = group * (len(LEVELS) + 1)
    capped = level.copy()
    for source in np.unique(marks.source_at[rows[bare[rows]]]).tolist():
        mine = marks.source_at[rows] == source
        # Highest level so far within the group, of other sources: bases ascend by group.
        heard = np.maximum.accumulate(np.where(mine, base, base + 1 + level[rows])) - base - 1
        repeats = mine & bare[rows] & (heard >= 0)
        at = rows[repeats]
        capped[at] = np.minimum(level[at], heard[repeats])
    return capped


@dataclass(frozen=True)
class Weighed:
    """Marks summed by number, label and level of honesty.

    Attributes:
        cells: sparse (n, L * levels): weight of each.
        pairs: sparse (p, L * levels): the same by number and source, of the marks that may testify
            for or against others.
        pair_number, pair_source: int64 (p,), ascending by both.
        pair_says: int64 (p,), place of the category that the source's marks mean most.
        pair_first_ms: int64 (p,), time of its first mark.
        pair_own: float64 (p,), share of what it says that it does not copy.
        effective_sources: float64 (n,), Kish 1965: (Σ w)² / Σ w².
        mark_cell: int64 (m,), column of each mark in `cells`.
        mark_pair: int64 (m,), row of each mark in `pairs`.
        mark_weight: float64 (m,), what each mark adds to its cell.
    """

    cells: sparse.csr_matrix
    pairs: sparse.csr_matrix
    pair_number: I64
    pair_source: I64
    pair_says: I64
    pair_first_ms: I64
    pair_own: F64
    effective_sources: F64
    mark_cell: I64
    mark_pair: I64
    mark_weight: F64


def weigh(marks: Marks, level_at: I64, vocabulary: Vocabulary, copying: F64) -> Weighed:
    """Collapse the marks to weights by number, label and level of honesty.

    Marks in quarantine weigh nothing: of a hundred marks that are nearly all lies, the rest of
    truth in each would add up. Many marks of one source are worth less than as many sources:
    honest marks of a total weight W > 1 of one source count 1 + ln W, for its reporters share its
    blind spots. A source that repeats on a number what another said before counts less by as much
    as it is known to copy.

    Args:
        level_at: (m,), place of each mark's honesty in LEVELS.
        copying: (S, S), as in `Accuracies`.
    """
    count, sources = len(marks.numbers), vocabulary.source_count
    counts = LEVELS[level_at] > QUARANTINE
    weight = np.where(counts, marks.weight, 0.0)
    honest = weight * LEVELS[level_at]
    of_mark = marks.number_at * sources + marks.source_at
    there = np.bincount(of_mark, minlength=count * sources) > 0
    key = np.flatnonzero(there)
    pair = (np.cumsum(there) - 1)[of_mark]
    pair_number, pair_source = key // sources, key % sources
    total = np.bincount(pair, honest, minlength=len(key))
    counted = np.where(total > 1, 1 + np.log(np.maximum(total, 1)), total)
    first = np.full(len(key), np.iinfo(np.int64).max)
    np.minimum.at(first, pair, marks.occurred_ms)
    says = _says(pair, vocabulary.top_category[marks.label_at], honest, len(key))
    own = _own_word(pair_number, pair_source, says, first, copying)
    factor = own * np.divide(counted, total, out=np.zeros(len(key)), where=total > 0)
    cell = marks.label_at * len(LEVELS) + level_at
    weight = weight * factor[pair]
    width = len(vocabulary.labels) * len(LEVELS)
    cells = sparse.csr_matrix(
        (weight.astype(np.float32), (marks.number_at, cell)), shape=(count, width)
    )
    testifies = expected_strata()[marks.trait] >= TESTIFYING
    spoken_for = np.where(testifies, weight, 0.0).astype(np.float32)
    pairs = sparse.csr_matrix((spoken_for, (pair, cell)), shape=(len(key), width))
    spoken = counted * own
    sums = np.bincount(pair_number, spoken, minlength=count)
    squares = np.bincount(pair_number, spoken**2, minlength=count)
    kish = np.divide(sums**2, squares, out=np.zeros(count), where=squares > 0)
    return Weighed(
        cells, pairs, pair_number, pair_source, says, first, own, kish, cell, pair, weight
    )


def _says(pair: I64, category_at: I64, weight: F64, count: int) -> I64:
    """The category with most weight of each pair, (count,)."""
    says = np.zeros(count, dtype=np.int64)
    says[pair] = category_at
    several = np.flatnonzero(np.bincount(pair, minlength=count)[pair] > 1)
    pair, category_at, weight = pair[several], category_at[several], weight[several]
    width = int(category_at.max(initial=0)) + 1
    key, at = np.unique(pair * width + category_at, return_inverse=True)
    sums = np.bincount(at, weight, minlength=len(key))
    order = np.lexsort((sums, key // width))
    says[(key // width)[order]] = (key % width)[order]
    return says


def _own_word(number: I64, source: I64, says: I64, first_ms: I64, copying: F64) -> F64:
    """Share of each pair's word that is its own, (p,)."""
    own = np.ones(len(number))
    for original, copier in zip(*np.nonzero(copying > MIN_COPYING), strict=True):
        one, other = np.flatnonzero(source == original), np.flatnonzero(source == copier)
        at, there = place(number[one], number[other])
        one, other = one[at[there]], other[there]
        same = (says[one] == says[other]) & (first_ms[one] <= first_ms[other])
        own[other[same]] *= 1 - copying[original, copier]
    return own


def starting_confusion(vocabulary: Vocabulary, frequency: F64) -> F64:
    """P(label | category) before learning, (L, K): the crosswalk turned round by Bayes.

    Args:
        vocabulary: labels and meanings.
        frequency: (L,), how often each label occurs; sums are taken within a source.
    """
    mix = label_mix(vocabulary, frequency)[:, None]
    joint = vocabulary.meaning * (frequency + 1.0)[:, None]
    total = np.zeros((vocabulary.source_count, joint.shape[1]))
    np.add.at(total, vocabulary.source_at, joint)
    total = total[vocabulary.source_at]
    meant = np.divide(joint, total, out=np.repeat(mix, joint.shape[1], axis=1), where=total > 0)
    return COMPETENCE * meant + (1 - COMPETENCE) * mix


def posterior(
    cells: sparse.csr_matrix, accuracies: Accuracies, table: npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    """P(category | marks) for each row of `Weighed.cells`, (n, K), in the precision of the table.

    Args:
        table: `accuracies.table()`, to be given where several calls share it.
    """
    scores = cells @ (accuracies.table() if table is None else table)
    scores += accuracies.log_prior.astype(scores.dtype)
    return softmax(scores)


def softmax(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows of probabilities from rows of logarithms; works in place."""
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return scores


def starting_accuracies(vocabulary: Vocabulary, frequency: F64) -> Accuracies:
    """What is believed before any pass: categories as common as the labels make them."""
    meant = (frequency + 1e-3) @ vocabulary.meaning if len(vocabulary.labels) else np.zeros(1)
    meant = meant + 1e-6
    meant[0] = 0.0
    prior = (1 - ORDINARY_PRIOR) * meant / max(meant.sum(), 1e-300)
    prior[0] = ORDINARY_PRIOR if len(prior) > 1 else 1.0
    sources = vocabulary.source_count
    return Accuracies(
        log_confusion=np.log(starting_confusion(vocabulary, frequency)),
        log_noise=np.log(label_mix(vocabulary, frequency)),
        log_prior=np.log(prior),
        honesty=starting_honesty(sources),
        copying=np.zeros((sources, sources)),
    )


def label_mix(vocabulary: Vocabulary, frequency: F64) -> F64:
    """Share of each label among those of its source, (L,)."""
    weight = frequency + 1.0
    total = np.bincount(vocabulary.source_at, weight, minlength=vocabulary.source_count)
    return np.asarray(weight / total[vocabulary.source_at])


def top_categories(
    post: F64, categories: npt.NDArray[np.uint16]
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.float32]]:
    """The TOP most probable categories and their probabilities, (n, min(TOP, K)) each."""
    order = np.empty((len(post), min(TOP, post.shape[1])), dtype=np.int64)
    left = post.copy()
    rows = np.arange(len(post))
    for at in range(order.shape[1]):  # five passes are cheaper than sorting dozens of columns
        order[:, at] = left.argmax(axis=1)
        left[rows, order[:, at]] = -1.0
    return categories[order], np.take_along_axis(post, order, axis=1).astype(np.float32)


def combine(*columns: Sequence[int]) -> I64:
    """Group id of each row of equal-length columns, (n,), dense from 0."""
    _, ids = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    return np.asarray(ids).ravel()

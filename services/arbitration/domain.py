"""Weighing marks against each other: Dawid-Skene with one confusion matrix a source. Pure.

For number i with marks j of labels y_j, and categories k (0: an ordinary number):

    log post_i(k) = log prior(k) + Σ_j w_j · log P(y_j | k, source of j) − log Z

(Dawid and Skene 1979, doi 10.2307/2346806). A source answers in its own words, so its matrix has
a column for each of its labels. The matrices are smoothed towards what the crosswalk says that a
label means (Dirichlet, as Raykar et al. 2010, JMLR 11:1297).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

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


@dataclass(frozen=True)
class Marks:
    """Marks that count, ordered by number; m entries each.

    Attributes:
        numbers: int64 (n,), the distinct numbers, ascending.
        number_at: int64 (m,), places in `numbers`, ascending.
        label_at: int64 (m,), places in the vocabulary.
        weight: float64 (m,), in [0, 1] before saturation.
        occurred_ms: int64 (m,).
        reporter: uint64 (m,), 0 unknown.
    """

    numbers: I64
    number_at: I64
    label_at: I64
    weight: F64
    occurred_ms: I64
    reporter: U64


@dataclass(frozen=True)
class Accuracies:
    """What a pass has learned.

    Attributes:
        log_confusion: float64 (L, K), log P(label | category) within the label's source.
        log_prior: float64 (K,).
        iteration_count: iterations until the posteriors settled.
    """

    log_confusion: F64
    log_prior: F64
    iteration_count: int = 0


def latest_of_reporter(
    numbers: I64, source_at: I64, reporter: U64, occurred_ms: I64
) -> npt.NDArray[np.bool_]:
    """Which marks stand, bool (m,): a reporter's newest for a number; all without a reporter."""
    order = np.lexsort((occurred_ms, reporter, source_at, numbers))
    n, s, r = numbers[order], source_at[order], reporter[order]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = (n[1:] != n[:-1]) | (s[1:] != s[:-1]) | (r[1:] != r[:-1])
    keep = np.zeros(len(order), dtype=bool)
    keep[order] = last | (r == 0)
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


def saturate(marks: Marks, sources: U64) -> tuple[sparse.csr_matrix, F64]:
    """Collapse the marks to weights by number and label.

    Many marks of one source are worth less than as many sources: a total weight W > 1 of one
    source counts 1 + ln W, for its reporters share its blind spots and its abuse.

    Returns:
        Weights, sparse (n, L); effective number of sources (n,), Kish 1965: (Σ w)² / Σ w².
    """
    count, width = len(marks.numbers), len(sources)
    raw = sparse.csr_matrix((marks.weight, (marks.number_at, marks.label_at)), shape=(count, width))
    distinct, source_at = np.unique(sources, return_inverse=True)
    member = sparse.csr_matrix(
        (np.ones(width), (np.arange(width), source_at)), shape=(width, len(distinct))
    )
    total = (raw @ member).tocsr()
    effective = total.copy()
    effective.data = np.where(total.data > 1, 1 + np.log(np.maximum(total.data, 1)), total.data)
    factor = total.copy()
    factor.data = effective.data / np.maximum(total.data, 1e-300)
    coo = raw.tocoo()
    scale = np.asarray(factor[coo.row, source_at[coo.col]]).ravel() if coo.nnz else coo.data
    weights = sparse.csr_matrix((coo.data * scale, (coo.row, coo.col)), shape=raw.shape)
    sums = np.asarray(effective.sum(axis=1)).ravel()
    squares = np.asarray(effective.multiply(effective).sum(axis=1)).ravel()
    kish = np.divide(sums**2, squares, out=np.zeros(count), where=squares > 0)
    return weights, kish


def starting_confusion(vocabulary: Vocabulary, frequency: F64) -> F64:
    """P(label | category) before learning, (L, K): the crosswalk turned round by Bayes.

    Args:
        vocabulary: labels and meanings.
        frequency: (L,), how often each label occurs; sums are taken within a source.
    """
    frequency = frequency + 1.0
    _, source_at = np.unique(vocabulary.sources, return_inverse=True)
    by_source = np.bincount(source_at, frequency)
    mix = (frequency / by_source[source_at])[:, None]
    joint = vocabulary.meaning * frequency[:, None]
    total = np.zeros((len(by_source), joint.shape[1]))
    np.add.at(total, source_at, joint)
    total = total[source_at]
    meant = np.divide(joint, total, out=np.repeat(mix, joint.shape[1], axis=1), where=total > 0)
    return COMPETENCE * meant + (1 - COMPETENCE) * mix


def posterior(weights: sparse.csr_matrix, accuracies: Accuracies) -> F64:
    """P(category | marks) for each number, (n, K)."""
    log_post = weights @ accuracies.log_confusion + accuracies.log_prior
    log_post -= log_post.max(axis=1, keepdims=True)
    np.exp(log_post, out=log_post)
    log_post /= log_post.sum(axis=1, keepdims=True)
    return np.asarray(log_post)


def starting_accuracies(vocabulary: Vocabulary, frequency: F64) -> Accuracies:
    """What is believed before any pass: categories as common as the labels make them."""
    meant = (frequency + 1e-3) @ vocabulary.meaning if len(vocabulary.labels) else np.zeros(1)
    meant = meant + 1e-6
    meant[0] = 0.0
    prior = (1 - ORDINARY_PRIOR) * meant / max(meant.sum(), 1e-300)
    prior[0] = ORDINARY_PRIOR if len(prior) > 1 else 1.0
    return Accuracies(np.log(starting_confusion(vocabulary, frequency)), np.log(prior))


def learn(
    vocabulary: Vocabulary,
    weights: sparse.csr_matrix,
    gold: Mapping[int, int],
    max_iterations: int = 30,
    tolerance: float = 1e-4,
) -> Accuracies:
    """Run EM until the mean posterior moves by less than the tolerance.

    Args:
        vocabulary: labels and meanings.
        weights: (n, L) from `saturate`.
        gold: row -> place of the decided category.
    """
    frequency = np.asarray(weights.sum(axis=0)).ravel()
    start = starting_accuracies(vocabulary, frequency)
    pseudo = SMOOTHING_MARKS * np.exp(start.log_confusion)
    _, source_at = np.unique(vocabulary.sources, return_inverse=True)
    prior_counts = PRIOR_STRENGTH * np.exp(start.log_prior)
    marked = np.diff(weights.indptr) > 0
    accuracies, before = start, np.zeros(len(vocabulary.categories))
    rows, places = np.array(list(gold), dtype=np.int64), np.array(list(gold.values()), np.int64)
    for iteration in range(1, max_iterations + 1):
        post = posterior(weights, accuracies)
        if len(rows):
            post[rows] = 0.0
            post[rows, places] = 1.0
        counts = weights.T @ post + pseudo
        total = np.zeros((source_at.max(initial=0) + 1, counts.shape[1]))
        np.add.at(total, source_at, counts)
        prior = prior_counts + post[marked].sum(axis=0)
        mean = prior / prior.sum()
        accuracies = Accuracies(
            np.log(counts / total[source_at]), np.log(mean), iteration_count=iteration
        )
        if np.abs(mean - before).max() < tolerance:
            break
        before = mean
    return accuracies


def top_categories(
    post: F64, categories: npt.NDArray[np.uint16]
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.float32]]:
    """The TOP most probable categories and their probabilities, (n, min(TOP, K)) each."""
    order = np.argsort(-post, axis=1, kind="stable")[:, :TOP]
    return categories[order], np.take_along_axis(post, order, axis=1).astype(np.float32)


def combine(*columns: Sequence[int]) -> I64:
    """Group id of each row of equal-length columns, (n,), dense from 0."""
    _, ids = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    return np.asarray(ids).ravel()

"""Weighing marks against each other: Dawid-Skene with one confusion matrix a source. Pure.

For number i with marks j of labels y_j, and categories k (0: an ordinary number):

    log post_i(k) = log prior(k) + Σ_j w_j · log[h_j · C_s(y_j | k) + (1 − h_j) · q_s(y_j)] − log Z

(Dawid and Skene 1979, doi 10.2307/2346806; honesty h as in `honesty`). A source answers in its
own words, so its matrix C has a column for each of its labels. The matrices are smoothed towards
what the crosswalk says that a label means (Dirichlet, as Raykar et al. 2010, JMLR 11:1297).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from services.arbitration.honesty import LEVELS, Honesty, starting_honesty

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
        prior_weight: how far the priors of behaviour are believed, see `prior`.
    """

    log_confusion: F64
    log_noise: F64
    log_prior: F64
    honesty: Honesty
    copying: F64
    iteration_count: int = 0
    prior_weight: float = 0.0

    def table(self) -> F64:
        """Log-likelihood of each label at each level of honesty, (L * levels, K)."""
        honest, other = self.mixture()
        return np.asarray(np.log(honest + other).reshape(-1, honest.shape[2]))

    def mixture(self) -> tuple[F64, F64]:
        """P(label | category) of each level's honest share, (L, levels, K), and of the rest."""
        honest = LEVELS[None, :, None] * np.exp(self.log_confusion)[:, None, :]
        other = (1 - LEVELS)[None, :, None] * np.exp(self.log_noise)[:, None, None]
        return honest, other


def latest_of_reporter(
    numbers: I64, source_at: I64, reporter: U64, occurred_ms: I64
) -> npt.NDArray[np.bool_]:
    """Which marks stand, bool (m,): a reporter's newest for a number; all without a reporter."""
    keep = np.ones(len(numbers), dtype=bool)
    # Few mark twice: a mixed key finds those who may have, and only they are put in order.
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # Knuth, TAOCP 6.4
    mixed = (mixed ^ reporter) * np.uint64(0xC2B2AE3D27D4EB4F) + source_at.astype(np.uint64)
    ordered = np.sort(mixed)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    rows = np.flatnonzero((reporter != 0) & np.isin(mixed, twice))
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
    first = np.flatnonzero(np.append(True, number_at[1:] != number_at[:-1])[: len(number_at)])
    if len(first):
        best[number_at[first]] = np.maximum.reduceat(weight, first)
    return np.sqrt(np.divide(weight, best[number_at], out=np.zeros_like(weight), where=weight > 0))


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
    cells: sparse.csr_matrix,
    accuracies: Accuracies,
    table: npt.NDArray[Any] | None = None,
    prior: npt.NDArray[Any] | None = None,
    power: float = 1.0,
) -> npt.NDArray[Any]:
    """P(category | marks) for each row of `Weighed.cells`, (n, K), in the table's precision.

    Args:
        table: `accuracies.table()`, to be given where several calls share it.
        prior: (n, K), what behaviour adds to the log prior of each number; None: nothing.
        power: probabilities to this power, made to sum to 1 again.
    """
    scores = cells @ (accuracies.table() if table is None else table)
    scores += accuracies.log_prior.astype(scores.dtype)
    if prior is not None:
        scores += prior
    if power != 1.0:
        scores *= power
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

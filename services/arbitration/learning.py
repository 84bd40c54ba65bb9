"""EM over all marks: the sources' matrices, the honesty of marks, who copies whom. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from services.arbitration.domain import (
    F64,
    I64,
    PRIOR_STRENGTH,
    SMOOTHING_MARKS,
    Accuracies,
    Marks,
    Vocabulary,
    Weighed,
    mark_levels,
    posterior,
    softmax,
    starting_accuracies,
    weigh,
)
from services.arbitration.honesty import LEVELS, Reporters, learn_honesty

Mask = npt.NDArray[np.bool_]

CHUNK = 50_000
"""Numbers whose posteriors are held at once."""
ROUNDS = 4
"""How often honesty is learned anew between the iterations of the matrices."""
NOISE_STRENGTH = 20.0
"""Strength of a source's label mix as what its dishonest marks say, in marks."""
CERTAIN = 0.6
"""The others' posterior from which a source that says otherwise is taken to err."""
REPEATING = 0.8
"""A source that repeats what another said, with less of its own than this, confirms nothing."""
COPY_STRENGTH = 20.0
"""Errors of a source at which half of what is found of its copier is believed."""


def learn(
    vocabulary: Vocabulary,
    marks: Marks,
    gold: Mapping[int, int],
    reporters: Reporters | None = None,
    missing: F64 | None = None,
    max_iterations: int = 30,
    tolerance: float = 1e-4,
) -> Accuracies:
    """Run EM until the mean posterior moves by less than the tolerance.

    Args:
        vocabulary: labels and meanings.
        marks: all that stand.
        gold: row -> place of the decided category.
        reporters: the known reporters.
        missing: (S,), share of each source's marks without a call.
    """
    frequency = np.bincount(marks.label_at, marks.weight, minlength=len(vocabulary.labels)).astype(
        np.float64
    )
    start = starting_accuracies(vocabulary, frequency, reporters)
    if missing is not None and len(missing):
        start = replace(start, honesty=replace(start.honesty, missing=missing))
    known = _Gold.of(gold)
    found = start
    rounds = ROUNDS if vocabulary.source_count > 1 or gold else 1  # nobody else to compare with
    for round_ in range(rounds):
        level = mark_levels(marks, vocabulary, found.honesty)
        weighed = weigh(marks, level, vocabulary, found.copying)
        limit = max_iterations if round_ == rounds - 1 else 6
        found = _settle(vocabulary, weighed, found, start, known, limit, tolerance)
        if round_ < rounds - 1:
            said = others_say(vocabulary, marks, weighed, found, known)
            honesty = learn_honesty(
                found.honesty, marks.source_at, marks.trait, marks.reporter,
                said.responsibility, said.telling * marks.judges,
            )  # fmt: skip
            found = replace(found, honesty=honesty, copying=said.copying)
    return found


@dataclass(frozen=True)
class _Gold:
    row: I64
    place: I64

    @classmethod
    def of(cls, gold: Mapping[int, int]) -> "_Gold":
        rows = np.array(sorted(gold), dtype=np.int64)
        return cls(rows, np.array([gold[int(row)] for row in rows], dtype=np.int64))

    def fix(self, post: F64, first: int) -> None:
        """Make the rows of known numbers certain; `post` begins at number `first`."""
        low, high = np.searchsorted(self.row, [first, first + len(post)])
        rows = self.row[low:high] - first
        post[rows] = 0.0
        post[rows, self.place[low:high]] = 1.0


def _chunks(count: int) -> Iterator[tuple[int, int]]:
    for first in range(0, count, CHUNK):
        yield first, min(first + CHUNK, count)


def _settle(
    vocabulary: Vocabulary,
    weighed: Weighed,
    found: Accuracies,
    start: Accuracies,
    gold: _Gold,
    limit: int,
    tolerance: float,
) -> Accuracies:
    """Iterate the matrices, the noise and the class prior under fixed honesty.

    Marks in quarantine weigh nothing here either: what careless people say is learned from the
    others, else an attack would decide which words are noise.
    """
    labels, width = start.log_confusion.shape
    pseudo = SMOOTHING_MARKS * np.exp(start.log_confusion)
    noise_pseudo = NOISE_STRENGTH * np.exp(start.log_noise)
    prior_counts = PRIOR_STRENGTH * np.exp(start.log_prior)
    source_at, sources = vocabulary.source_at, vocabulary.source_count
    before = np.exp(found.log_prior)
    for _ in range(limit):
        table = found.table()
        counts, mass = np.zeros((labels * len(LEVELS), width)), np.zeros(width)
        for first, last in _chunks(weighed.cells.shape[0]):
            cells = weighed.cells[first:last]
            post = posterior(cells, found, table)
            gold.fix(post, first)
            counts += cells.T @ post
            mass += post[np.diff(cells.indptr) > 0].sum(axis=0)
        by_level = counts.reshape(labels, len(LEVELS), width)
        honest = LEVELS[None, :, None] * np.exp(found.log_confusion)[:, None, :]
        other = (1 - LEVELS)[None, :, None] * np.exp(found.log_noise)[:, None, None]
        share = honest / (honest + other)
        confusion = (by_level * share).sum(axis=1) + pseudo
        noise = (by_level * (1 - share)).sum(axis=(1, 2)) + noise_pseudo
        total = np.zeros((sources, width))
        np.add.at(total, source_at, confusion)
        of_source = np.bincount(source_at, noise, minlength=sources)
        prior = prior_counts + mass
        mean = prior / prior.sum()
        found = replace(
            found,
            log_confusion=np.log(confusion / total[source_at]),
            log_noise=np.log(noise / of_source[source_at]),
            log_prior=np.log(mean),
            iteration_count=found.iteration_count + 1,
        )
        if np.abs(mean - before).max() < tolerance:
            break
        before = mean
    return found


@dataclass(frozen=True)
class Said:
    """What all others than a mark's source say of its number.

    Attributes:
        responsibility: float64 (m,), probability that each mark is honest.
        telling: float64 (m,) in [0, 1], how far the others' posterior is from the class prior.
        copying: float64 (S, S), see `Shared`.
    """

    responsibility: F64
    telling: F64
    copying: F64


class Shared:
    """Errors that sources share, counted by who spoke first (row) and later (column).

    Agreement on what is right proves nothing. Where a source errs, by what all but the two say,
    another that speaks later shares the error as often as its own matrix tells, or it copies:
    copied = (seen - expected) / (cases - expected). What all have in common, numbers that are
    hard for everybody, is taken off: the median over the pairs of sources.
    """

    def __init__(self, vocabulary: Vocabulary, found: Accuracies) -> None:
        size = vocabulary.source_count
        self._seen, self._expected, self._cases = (np.zeros((size, size)) for _ in range(3))
        confusion = np.exp(found.log_confusion)
        width = confusion.shape[1]
        self._says_if = np.zeros((size, width, width))  # P(source says a | category k)
        np.add.at(self._says_if, (vocabulary.source_at, vocabulary.top_category), confusion)

    def count(self, weighed: Weighed, one: I64, other: I64, best: I64, certain: Mask) -> None:
        """Count cases: rows of `weighed.pairs` on one number each, and what the rest says."""
        for first, then in ((one, other), (other, one)):
            wrong = certain & (weighed.pair_says[first] != best)
            wrong &= weighed.pair_first_ms[then] >= weighed.pair_first_ms[first]
            a, b, truth = first[wrong], then[wrong], best[wrong]
            at = (weighed.pair_source[a], weighed.pair_source[b])
            said = weighed.pair_says[a]
            np.add.at(self._cases, at, 1.0)
            np.add.at(self._seen, at, said == weighed.pair_says[b])
            np.add.at(self._expected, at, self._says_if[weighed.pair_source[b], said, truth])

    def copying(self) -> F64:
        """How far each source (column) repeats each other (row), in [0, 1]."""
        over = np.maximum(self._seen - self._expected, 0)
        rate = over / (np.maximum(self._cases - self._expected, 0) + COPY_STRENGTH)
        paired = self._cases > 0
        common = float(np.median(rate[paired])) if paired.sum() >= 3 else 0.0
        return np.asarray(np.clip((rate - common) / (1 - common), 0.0, 1.0) * paired)


def others_say(
    vocabulary: Vocabulary, marks: Marks, weighed: Weighed, found: Accuracies, gold: _Gold
) -> Said:
    """Judge each mark by all sources but its own: agreement with oneself proves nothing.

    Neither does that of a source known to copy, where it repeats.
    """
    table, prior = found.table(), np.exp(found.log_prior)
    confusion, noise = np.exp(found.log_confusion), np.exp(found.log_noise)
    shared = Shared(vocabulary, found)
    telling, likelihood = np.zeros(len(weighed.pair_number)), np.zeros(len(marks.number_at))
    for first, last in _chunks(weighed.cells.shape[0]):
        low, high = np.searchsorted(weighed.pair_number, [first, last])
        at = weighed.pair_number[low:high] - first
        own = np.asarray(weighed.pairs[low:high] @ table)
        total = np.zeros((last - first, own.shape[1]))
        np.add.at(total, at, own * (weighed.pair_own[low:high] > REPEATING)[:, None])
        total += found.log_prior
        known = np.zeros_like(total)
        gold.fix(known, first)
        decided = np.asarray(known.any(axis=1))
        total[decided] = np.log(np.maximum(known[decided], 1e-12)) * 1e3
        repeats = weighed.pair_own[low:high] <= REPEATING
        others = softmax(total[at] - own * ~repeats[:, None] * ~decided[at][:, None])
        telling[low:high] = 1 - np.minimum(others, prior).sum(axis=1)
        for step in range(1, vocabulary.source_count):
            one = np.flatnonzero(at[step:] == at[:-step])
            if not len(one):
                break
            rest = total[at[one]]
            for rows in (one, one + step):
                rest -= own[rows] * ~repeats[rows][:, None] * ~decided[at[rows]][:, None]
            rest = softmax(rest)
            best = rest.argmax(axis=1)
            certain = rest[np.arange(len(best)), best] >= CERTAIN
            shared.count(weighed, one + low, one + step + low, best, certain)
        begin, end = np.searchsorted(marks.number_at, [first, last])
        for start in range(begin, end, CHUNK * 4):
            part = slice(start, min(start + CHUNK * 4, end))
            likelihood[part] = np.einsum(
                "ij,ij->i",
                others[weighed.mark_pair[part] - low],
                confusion[marks.label_at[part]],
            )
    honest = LEVELS[weighed.mark_cell % len(LEVELS)]
    said, otherwise = honest * likelihood, (1 - honest) * noise[marks.label_at]
    return Said(said / (said + otherwise), telling[weighed.mark_pair], shared.copying())

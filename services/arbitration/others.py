"""What all others than a mark's source say, and which sources repeat each other. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.arbitration.chunks import by_chunk
from services.arbitration.domain import F64, I64, Accuracies, Marks, Vocabulary, softmax
from services.arbitration.gold import Gold
from services.arbitration.honesty import LEVELS
from services.arbitration.prior import Prior
from services.arbitration.weighing import Weighed

Mask = npt.NDArray[np.bool_]

CERTAIN = 0.6
"""The others' posterior from which a source that says otherwise is taken to err."""
REPEATING = 0.8
"""A source that repeats what another said, with less of its own than this, confirms nothing."""
COPY_STRENGTH = 20.0
"""Errors of a source at which half of what is found of its copier is believed."""


@dataclass(frozen=True)
class Said:
    """What all others than a mark's source say of its number.

    Attributes:
        responsibility: float64 (m,), probability that each mark is honest.
        telling: float64 (m,) in [0, 1], how far the others' posterior is from the class prior.
        agreement: float64 (m,), the others' posterior of what each mark's label may mean.
        likelihood: float64 (m,), P(its label | what the others say), were it honest.
        copying: float64 (S, S), see `Shared`.
    """

    responsibility: F64
    telling: F64
    agreement: F64
    copying: F64
    likelihood: F64


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
    vocabulary: Vocabulary,
    marks: Marks,
    weighed: Weighed,
    found: Accuracies,
    gold: Gold,
    copying: bool = True,
    prior: Prior | None = None,
) -> Said:
    """Judge each mark by all sources but its own: agreement with oneself proves nothing.

    Neither does that of a source known to copy, where it repeats.

    Args:
        copying: whether to look anew for who copies whom.
        prior: what behaviour says, to be heard as well.
    """
    table = found.table().astype(np.float32)
    common, log_prior = np.exp(found.log_prior), found.log_prior.astype(np.float32)
    confusion = np.exp(found.log_confusion).astype(np.float32)
    shared = Shared(vocabulary, found)
    meant = (vocabulary.meaning > 0).astype(np.float32)
    telling = np.zeros(len(weighed.pair_number))
    likelihood, agreement = np.zeros(len(marks.number_at)), np.zeros(len(marks.number_at))

    def listen(first: int, last: int) -> list[tuple[I64, I64, I64, Mask]]:
        low, high = np.searchsorted(weighed.pair_number, [first, last])
        at = weighed.pair_number[low:high] - first
        own = weighed.pairs[low:high] @ table
        own[weighed.pair_own[low:high] <= REPEATING] = 0.0
        # Pairs ascend by number: sums of runs, empty ones being 0.
        starts = np.searchsorted(at, np.arange(last - first))
        total = np.add.reduceat(
            np.vstack([own, np.zeros((1, len(common)), own.dtype)]), starts, axis=0
        )
        total[np.diff(np.append(starts, len(at))) == 0] = 0.0
        total += log_prior
        if prior is not None:
            total += prior.rows(first, last)
        known = np.zeros_like(total)
        gold.fix(known, first)
        decided = np.flatnonzero(known.any(axis=1))
        if len(decided):
            total[decided] = np.where(known[decided] > 0, 0.0, -1e6)
            own[np.isin(at, decided)] = 0.0
        others = softmax(total[at] - own)
        telling[low:high] = 1 - np.minimum(others, common).sum(axis=1)
        begin, end = np.searchsorted(marks.number_at, [first, last])
        of_mark = others[weighed.mark_pair[begin:end] - low]
        label_at = marks.label_at[begin:end]
        likelihood[begin:end] = np.einsum("ij,ij->i", of_mark, confusion[label_at])
        agreement[begin:end] = np.einsum("ij,ij->i", of_mark, meant[label_at])
        cases = []
        for step in range(1, vocabulary.source_count if copying else 1):
            one = np.flatnonzero(at[step:] == at[:-step])
            if not len(one):
                break
            rest = softmax(total[at[one]] - own[one] - own[one + step])
            best = rest.argmax(axis=1)
            certain = rest[np.arange(len(best)), best] >= CERTAIN
            cases.append((one + low, one + step + low, best, certain))
        return cases

    for cases in by_chunk(weighed.cells.shape[0], listen):
        for one, other, best, certain in cases:
            shared.count(weighed, one, other, best, certain)
    honest = LEVELS[weighed.level_at]
    noise = np.exp(found.log_noise)[marks.label_at]
    said, otherwise = honest * likelihood, (1 - honest) * noise
    copied = shared.copying() if copying else found.copying
    return Said(
        said / (said + otherwise), telling[weighed.mark_pair], agreement, copied, likelihood
    )

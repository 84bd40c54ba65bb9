"""Marks collapsed to what each source says of each number, copies and lies discounted. Pure."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from services.arbitration.domain import F64, I64, Accuracies, Marks, Vocabulary
from services.arbitration.honesty import LEVELS, QUARANTINE, Honesty, expected_strata, lacks_call
from services.common.places import groups, place

TESTIFYING = 0.8
"""Expected honesty of a kind of marks from which they judge others: in plain words, there was a
call, nobody else spoke in the same minutes, and the reporter travels alone."""

MIN_COPYING = 0.05
"""Less than this is taken for none."""


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

    @property
    def level_at(self) -> I64:
        """Place of each mark's honesty in LEVELS, (m,)."""
        return self.mark_cell % len(LEVELS)


def weigh_by(marks: Marks, vocabulary: Vocabulary, found: Accuracies) -> Weighed:
    """`weigh` with the honesty and the copying that a pass has learned."""
    return weigh(marks, mark_levels(marks, vocabulary, found.honesty), vocabulary, found.copying)


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
    key, at, _ = groups(pair * width + category_at)
    sums = np.bincount(at, weight, minlength=len(key))
    pair = key // width
    first = np.flatnonzero(np.append(True, pair[1:] != pair[:-1])[: len(pair)])
    if len(first):
        most = np.repeat(np.maximum.reduceat(sums, first), np.diff(np.append(first, len(pair))))
        best = sums == most
        says[pair[best]] = key[best] % width
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

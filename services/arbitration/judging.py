"""From marks and accuracies to posteriors and the evidence behind them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.arbitration import domain
from services.arbitration.chunks import by_chunk
from services.arbitration.honesty import LEVELS, QUARANTINE
from services.arbitration.reading import Context
from services.arbitration.weighing import Weighed, weigh_by
from services.common.places import groups, place

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Arbitrated:
    """Posteriors of ascending numbers, n rows, and the evidence behind them, e rows.

    Attributes:
        numbers: int64 (n,).
        categories, probabilities: (n, up to 5), most probable first; category 0: ordinary.
        effective_sources: float64 (n,).
        counts: int64 (n,) each: reporter_count, mark_count, former_mark_count,
            quarantined_count, epoch, epoch_start_ms, first_mark_ms, last_mark_ms. Marks in
            quarantine are in no other count.
        decided_category: int64 (n,): -1 none, 0 cleared, else the category.
        decided_by: authority of each decision, "" without.
        evidence: number, label, mark_count, weight, last_mark_ms and log_odds of each row.
        suspicions: number, mark_key and honesty of each mark in quarantine.
        by_source: int64 (sources,) each: marks that stand, quarantined ones, numbers.
    """

    numbers: I64
    categories: npt.NDArray[np.uint16]
    probabilities: npt.NDArray[np.float32]
    effective_sources: npt.NDArray[np.float64]
    counts: dict[str, I64]
    decided_category: I64
    decided_by: list[str]
    evidence: dict[str, npt.NDArray[Any]]
    suspicions: dict[str, npt.NDArray[Any]]
    by_source: dict[str, I64]


def judge(
    marks: domain.Marks,
    context: Context,
    vocabulary: domain.Vocabulary,
    accuracies: domain.Accuracies,
) -> Arbitrated:
    """Judge numbers under fixed accuracies: the same for a full pass and for touched ones."""
    weighed = weigh_by(marks, vocabulary, accuracies)
    count, table = len(marks.numbers), accuracies.table()
    width = min(domain.TOP, len(vocabulary.categories))
    categories = np.zeros((count, width), dtype=np.uint16)
    probabilities = np.zeros((count, width), dtype=np.float32)
    best = np.zeros(count, dtype=np.int64)
    at, known = place(
        vocabulary.categories.astype(np.int64), np.maximum(context.decided_category, 0)
    )
    known &= context.decided_category >= 0

    prior = context.prior and context.prior.weighing(accuracies.prior_weight)

    def judge_some(first: int, last: int) -> None:
        rows = slice(first, last)
        told = None if prior is None else prior.rows(first, last)
        post = domain.posterior(weighed.cells[rows], accuracies, table, told)
        decided = known[rows]
        post[decided] = 0.0
        post[decided, at[rows][decided]] = 1.0
        categories[rows], probabilities[rows] = domain.top_categories(post, vocabulary.categories)
        if post.shape[1] > 1:
            best[rows] = post[:, 1:].argmax(axis=1) + 1

    for _ in by_chunk(count, judge_some):
        pass
    honest = LEVELS[weighed.level_at]
    counts_ = honest > QUARANTINE
    counted_at = marks.number_at[counts_]
    first_ms = np.full(count, np.iinfo(np.int64).max)
    last_ms = np.zeros(count, dtype=np.int64)
    np.minimum.at(first_ms, counted_at, marks.occurred_ms[counts_])
    np.maximum.at(last_ms, counted_at, marks.occurred_ms[counts_])
    mark_count = np.bincount(counted_at, minlength=count)
    # latest_of_reporter leaves one mark a known reporter and source.
    counts = {
        "reporter_count": mark_count.astype(np.int64),
        "mark_count": mark_count.astype(np.int64),
        "former_mark_count": context.former,
        "quarantined_count": np.bincount(marks.number_at[~counts_], minlength=count),
        "epoch": context.epoch,
        "epoch_start_ms": context.epoch_start_ms,
        "first_mark_ms": np.where(mark_count > 0, first_ms, 0),
        "last_mark_ms": last_ms,
    }
    return Arbitrated(
        numbers=marks.numbers,
        categories=categories,
        probabilities=probabilities,
        effective_sources=weighed.effective_sources,
        counts=counts,
        decided_category=context.decided_category,
        decided_by=context.decided_by,
        evidence=_evidence(marks, vocabulary, table, best, weighed),
        suspicions={
            "number": marks.numbers[marks.number_at[~counts_]],
            "mark_key": marks.mark_key[~counts_],
            "honesty": honest[~counts_].astype(np.float32),
        },
        by_source={
            "marks": np.bincount(marks.source_at, minlength=vocabulary.source_count),
            "quarantined": np.bincount(
                marks.source_at[~counts_], minlength=vocabulary.source_count
            ),
            "numbers": np.bincount(weighed.pair_source, minlength=vocabulary.source_count),
        },
    )


def together(parts: Sequence[Arbitrated]) -> Arbitrated:
    """What was found of ascending numbers, some after the other."""
    if len(parts) == 1:
        return parts[0]

    def joined(columns: Sequence[Mapping[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
        return {name: np.concatenate([one[name] for one in columns]) for name in columns[0]}

    return Arbitrated(
        numbers=np.concatenate([part.numbers for part in parts]),
        categories=np.concatenate([part.categories for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        effective_sources=np.concatenate([part.effective_sources for part in parts]),
        counts=joined([part.counts for part in parts]),
        decided_category=np.concatenate([part.decided_category for part in parts]),
        decided_by=[by for part in parts for by in part.decided_by],
        evidence=joined([part.evidence for part in parts]),
        suspicions=joined([part.suspicions for part in parts]),
        by_source={
            name: np.sum([part.by_source[name] for part in parts], axis=0)
            for name in parts[0].by_source
        },
    )


def _evidence(
    marks: domain.Marks,
    vocabulary: domain.Vocabulary,
    table: npt.NDArray[np.float64],
    best: I64,
    weighed: Weighed,
) -> dict[str, npt.NDArray[Any]]:
    """What each label adds on each number, in favour of its best category against ordinary."""
    width = max(len(vocabulary.labels), 1)
    pair, inverse, count = groups(marks.number_at * width + marks.label_at)
    last = np.zeros(len(pair), dtype=np.int64)
    np.maximum.at(last, inverse, marks.occurred_ms)
    cell = weighed.mark_cell
    odds = weighed.mark_weight * (table[cell, best[marks.number_at]] - table[cell, 0])
    return {
        "number": marks.numbers[pair // width],
        "label": vocabulary.labels[pair % width] if len(pair) else np.zeros(0, np.uint64),
        "mark_count": count.astype(np.uint32),
        "weight": np.bincount(inverse, weighed.mark_weight, minlength=len(pair)).astype(np.float32),
        "last_mark_ms": last,
        "log_odds": np.bincount(inverse, odds, minlength=len(pair)),
    }

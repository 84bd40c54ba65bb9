"""How right each source is, by what all the others say of the same numbers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from services.arbitration.domain import DAY_MS, F64, I64, Accuracies, Marks, Vocabulary
from services.arbitration.gold import Gold
from services.arbitration.others import others_say
from services.arbitration.weighing import weigh_by

WEEK_MS = 7 * DAY_MS
WEEKS = 12
"""Weeks of the trend, the last one ending with the run."""
MIN_TELLING = 0.2
"""Marks of whose number the others say less than this are not judged."""


@dataclass(frozen=True)
class Cards:
    """Rows by source and category (week 0), and by source and week (category 0).

    Attributes:
        source_at: int64 (c,), place of the source in the vocabulary.
        category: uint16 (c,), 0 all. week_ms: int64 (c,), start of the week, 0 all.
        marks: int64 (c,), marks judged in a sample of the numbers.
        told, right: float64 (c,), see schema/0004_ledger.sql.
    """

    source_at: I64
    category: I64
    week_ms: I64
    marks: I64
    told: F64
    right: F64


def make_cards(
    vocabulary: Vocabulary,
    marks: Marks,
    gold: Mapping[int, int],
    accuracies: Accuracies,
    as_of_ms: int,
) -> Cards:
    """Judge marks by all sources but their own.

    A mark is right as far as the others' posterior lies on what its label may mean. Decisions
    speak for themselves.
    """
    weighed = weigh_by(marks, vocabulary, accuracies)
    said = others_say(vocabulary, marks, weighed, accuracies, Gold.of(gold), copying=False)
    told = np.where(said.telling >= MIN_TELLING, said.telling, 0.0)
    category = vocabulary.categories[vocabulary.top_category[marks.label_at]].astype(np.int64)
    week = as_of_ms - ((as_of_ms - marks.occurred_ms) // WEEK_MS + 1) * WEEK_MS
    recent = marks.occurred_ms > as_of_ms - WEEKS * WEEK_MS
    zero = np.zeros_like(category)
    parts = [
        _sums(marks.source_at, category, zero, told, said.agreement),
        _sums(marks.source_at, zero, zero, told, said.agreement),
        _sums(
            marks.source_at[recent],
            zero[recent],
            week[recent],
            told[recent],
            said.agreement[recent],
        ),
    ]
    return Cards(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _sums(
    source_at: I64, category: I64, week_ms: I64, told: F64, agreement: F64
) -> tuple[I64, I64, I64, I64, F64, F64]:
    weeks, week_at = np.unique(week_ms, return_inverse=True)
    width = int(category.max(initial=0)) + 1
    flat = (source_at * width + category) * len(weeks) + week_at
    key, at = np.unique(flat, return_inverse=True)
    size = len(key)
    rest, of_week = np.divmod(key, max(len(weeks), 1))
    return (
        rest // width,
        rest % width,
        weeks[of_week] if size else of_week,
        np.bincount(at, minlength=size),
        np.bincount(at, told, minlength=size).astype(np.float64),
        np.bincount(at, told * agreement, minlength=size).astype(np.float64),
    )

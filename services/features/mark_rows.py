"""The marks of some numbers as flat arrays, and the few sums that all definitions are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.places import runs
from services.features.columns import DAY_MS, F64, FIRST, I64, Aggregates, Aligned
from services.features.definitions import ENTITIES, MARK_WINDOWS_DAYS

Flags = npt.NDArray[np.bool_]
U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Volumes:
    """How many marks there were on days, over all numbers.

    Attributes:
        days: since 1970, UTC, ascending, (d,).
        weights: of a mark of each day, (d,).
        ages: how much was marked after each day, in mean days' marks, (d,).
    """

    days: I64
    weights: F64
    ages: F64


def counting(marks: Aggregates, epochs: Aggregates, excluded: U64) -> tuple[Flags, Flags]:
    """Which rows of `marks` count, and which take one back: as mark_queries._COUNTING says.

    Args:
        marks: rows by then, (m,) each.
        epochs: number, ascending, and start_ms.
        excluded: keys of marks that do not count.
    """
    number, key = np.asarray(marks["number"], dtype=np.int64), marks["mark_key"]
    start_ms = Aligned(epochs, "number", number).column("start_ms", 0)
    present = marks["occurred_ms"] >= start_ms
    is_withdrawal = marks["withdrawn"] != 0
    out = np.concatenate([key[is_withdrawal] - np.uint64(1), excluded])
    counts = present & ~is_withdrawal
    if len(out):
        counts &= ~np.isin(key, out)
    return counts, present & is_withdrawal


TOLD = (*ENTITIES, "day")
"""What marks tell that is counted by its value."""


class MarkRows:
    """Marks that count, number by number, newest first.

    Attributes:
        as_of_ms: epoch milliseconds, at or after all marks.
        numbers: that have marks, ascending, (n,).
        marks: how many each number has, (n,).
        at: the place of each mark's number among them, (m,).
        times: when each occurred, (m,).
    """

    def __init__(self, as_of_ms: int, marks: Aggregates, volumes: Volumes) -> None:
        """Say which marks.

        Args:
            as_of_ms: epoch milliseconds.
            marks: number, occurred_ms, call_ms and definitions.ENTITIES, (m,) each, number by
                number, newest first.
            volumes: of days; a day not among them weighs 1 and has age 0.
        """
        self.as_of_ms, self._volumes, self._marks = as_of_ms, volumes, marks
        self.numbers, self._starts, self.marks = runs(marks["number"])
        self.at: I64 = np.repeat(np.arange(len(self.numbers)), self.marks)
        self.times: I64 = marks["occurred_ms"]

    @cached_property
    def days(self) -> I64:
        """Day of each mark since 1970, UTC, (m,)."""
        return self.times // DAY_MS

    @cached_property
    def gaps(self) -> I64:
        """Time from the mark before on the same number, ms, (m,); 0 for the oldest."""
        found = np.zeros(len(self.times), dtype=np.int64)
        found[:-1] = np.where(self.at[1:] == self.at[:-1], self.times[:-1] - self.times[1:], 0)
        return found

    @cached_property
    def volume_ages(self) -> F64:
        """Age of each mark in volume, (m,)."""
        return self._by_day.column("age", 0.0)

    @cached_property
    def excesses(self) -> F64:
        """Weight of each mark by its day, less 1, (m,)."""
        return self._by_day.column("weight", 1.0) - 1

    @cached_property
    def has_call(self) -> Flags:
        """Whether each names the call it is about, (m,)."""
        return np.asarray(self._marks["call_ms"] > 0)

    @cached_property
    def area(self) -> I64:
        """Area that each mark's number is of, (m,): three digits before its last seven."""
        return (self._marks["number"] - FIRST) % 10_000_000_000 // 10_000_000

    def values(self, name: str) -> I64:
        """What each mark tells of one of TOLD, (m,); only which are equal, and which are 0."""
        return self._told[TOLD.index(name)]

    def occurrence(self, name: str) -> I64:
        """Whether each mark is the first, second, … of its number with that value, (m,)."""
        return self._occurrences[TOLD.index(name)]

    def seen(self, name: str) -> Flags:
        """Whether each mark is the newest of its number with that value, the value known, (m,)."""
        return self._seen[TOLD.index(name)]

    def since(self, days: int | I64) -> Flags:
        """Whether each mark is less than so many days old, (m,), or (d, m) of days (d, 1)."""
        return self.times > self.as_of_ms - days * DAY_MS

    def recent(self, days: int, name: str = "") -> I64:
        """How many marks of each number are in one of MARK_WINDOWS_DAYS, (n,); by one of TOLD
        those that are `seen` alone."""
        at = TOLD.index(name) if name else len(TOLD)
        return self._recent[at, MARK_WINDOWS_DAYS.index(days)]

    # Of few marks a step takes as long as of one: these are taken for all of TOLD together.

    @cached_property
    def _told(self) -> I64:
        return np.array([*(self._marks[name].astype(np.int64) for name in ENTITIES), self.days])

    @cached_property
    def _occurrences(self) -> I64:
        order = np.argsort(self._told, axis=1, kind="stable")  # of equal ones, number by number
        rows = np.arange(len(TOLD))[:, None]
        ordered, at = self._told[rows, order], self.at[order]
        first = np.ones(order.shape, dtype=bool)
        first[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]) | (at[:, 1:] != at[:, :-1])
        place_of = np.arange(order.shape[1])
        found = np.empty(order.shape, dtype=np.int64)
        begun = np.maximum.accumulate(np.where(first, place_of, 0), axis=1)
        found[rows, order] = place_of - begun + 1
        return found

    @cached_property
    def _seen(self) -> Flags:
        known = self._told != 0
        known[TOLD.index("day")] = True
        return known & (self._occurrences == 1)

    @cached_property
    def _recent(self) -> I64:
        every = np.ones((1, len(self.at)), dtype=bool)
        there = np.concatenate([self._seen, every])[:, None]
        there = there & self.since(np.array(MARK_WINDOWS_DAYS)[:, None])
        return np.add.reduceat(there, self._starts, axis=2, dtype=np.int64)

    def count(self, flags: Flags) -> I64:
        """How many marks of each number have it, (n,)."""
        return np.bincount(self.at[flags], minlength=len(self.numbers))

    def total(self, values: npt.NDArray[Any]) -> F64:
        """Sum over the marks of each number, (n,)."""
        return np.bincount(self.at, values, len(self.numbers)).astype(np.float64)

    def most(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The greatest over the marks of each number, (n,)."""
        return np.maximum.reduceat(values, self._starts) if len(values) else values[:0]

    def least(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The least over the marks of each number, (n,)."""
        return np.minimum.reduceat(values, self._starts) if len(values) else values[:0]

    def nth(self, values: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
        """That of the n-th newest mark of each number, (n,); 0 without."""
        there = self.marks >= n
        found = np.zeros(len(there), dtype=values.dtype)
        found[there] = values[self._starts[there] + (n - 1)]
        return found

    @cached_property
    def _by_day(self) -> Aligned:
        days = self._volumes
        table = {"day": days.days, "age": days.ages, "weight": days.weights}
        return Aligned(table, "day", self.days)


def withdrawn(marks: Mapping[str, npt.NDArray[Any]], flags: Flags) -> Aggregates:
    """number, ascending, and withdrawn_marks: how many rows of each have the flag."""
    number, _, count = runs(np.sort(marks["number"][flags]))
    return {"number": number, "withdrawn_marks": count}

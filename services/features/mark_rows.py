"""The marks of some numbers as flat arrays, and the few sums that all definitions are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from services.features.columns import DAY_MS, F64, FIRST, I64, Aggregates, Aligned

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.integer[Any]]
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


class MarkRows:
    """Marks that count, number by number, newest first.

    Attributes:
        as_of_ms: epoch milliseconds, at or after all marks.
        numbers: that have marks, ascending, (n,).
        at: the place of each mark's number among them, (m,).
        times: when each occurred, (m,).
    """

    def __init__(self, as_of_ms: int, marks: Aggregates, volumes: Volumes) -> None:
        """Put marks in order.

        Args:
            as_of_ms: epoch milliseconds.
            marks: number, occurred_ms, call_ms and definitions.ENTITIES, (m,) each, in any order.
            volumes: of days; a day not among them weighs 1 and has age 0.
        """
        order = np.lexsort((-marks["occurred_ms"], marks["number"]))
        self.as_of_ms, self._volumes = as_of_ms, volumes
        self._marks = {name: column[order] for name, column in marks.items()}
        self.numbers, self._starts, self.at = np.unique(
            self._marks["number"], return_index=True, return_inverse=True
        )
        self.times: I64 = self._marks["occurred_ms"]
        self._occurrences: dict[str, I64] = {}
        self._seen: dict[str, Flags] = {}
        self._since: dict[int, Flags] = {}

    @cached_property
    def marks(self) -> I64:
        """How many each number has, (n,); none has 0."""
        return np.bincount(self.at, minlength=len(self.numbers))

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
        return self._of_day(self._volumes.ages, 0.0)

    @cached_property
    def excesses(self) -> F64:
        """Weight of each mark by its day, less 1, (m,)."""
        return self._of_day(self._volumes.weights - 1, 0.0)

    @cached_property
    def has_call(self) -> Flags:
        """Whether each names the call it is about, (m,)."""
        return np.asarray(self._marks["call_ms"] > 0)

    @cached_property
    def area(self) -> I64:
        """Area that each mark's number is of, (m,): three digits before its last seven."""
        return (self._marks["number"] - FIRST) % 10_000_000_000 // 10_000_000

    def values(self, name: str) -> Ints:
        """One of definitions.ENTITIES or "day" of each mark, (m,)."""
        return self.days if name == "day" else self._marks[name]

    def occurrence(self, name: str) -> I64:
        """Whether each mark is the first, second, … of its number with that value, (m,)."""
        if name not in self._occurrences:
            values = self.values(name)
            order = np.lexsort((values, self.at))
            ordered, at = values[order], self.at[order]
            first = np.ones(len(order), dtype=bool)
            first[1:] = (ordered[1:] != ordered[:-1]) | (at[1:] != at[:-1])
            place_of = np.arange(len(order))
            found = np.empty(len(order), dtype=np.int64)
            found[order] = place_of - np.maximum.accumulate(np.where(first, place_of, 0)) + 1
            self._occurrences[name] = found
        return self._occurrences[name]

    def seen(self, name: str) -> Flags:
        """Whether each mark is the newest of its number with that value, the value known, (m,)."""
        if name not in self._seen:
            newest = self.occurrence(name) == 1
            self._seen[name] = newest if name == "day" else newest & (self.values(name) != 0)
        return self._seen[name]

    def since(self, days: int) -> Flags:
        """Whether each mark is less than so many days old, (m,)."""
        if days not in self._since:
            self._since[days] = self.times > self.as_of_ms - days * DAY_MS
        return self._since[days]

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

    def _of_day(self, values: F64, absent: float) -> F64:
        return Aligned({"day": self._volumes.days, "value": values}, "day", self.days).column(
            "value", absent
        )


def withdrawn(marks: Mapping[str, npt.NDArray[Any]], flags: Flags) -> Aggregates:
    """number, ascending, and withdrawn_marks: how many rows of each have the flag."""
    number, count = np.unique(marks["number"][flags], return_counts=True)
    return {"number": number, "withdrawn_marks": count}

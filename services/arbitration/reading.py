"""Marks of the store as the arrays that arbitration works on."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.arbitration import domain, queries
from services.arbitration.honesty import (
    RING_COMPANIONS,
    Honesty,
    Rings,
    missing_calls,
    traits,
)
from services.arbitration.prior import Prior, Told
from services.arbitration.queries import Scope, Span
from services.common.places import count_for, parts
from services.common.store import Store

I64 = npt.NDArray[np.int64]
SPAN_MARKS = 2_000_000
"""Marks that are held at once by a full pass, about."""
FEW = 2
"""Marks of a source on a number that are no crowd."""
FIRST_AT_ONCE = 1_000
"""Numbers whose marks are read at first: each may have very many."""
MARKS_AT_ONCE = 1 << 16
"""Marks that are read at once, as far as those read before tell how many a number has."""
PART_MARKS = 16_384
"""Marks that are judged at once of touched numbers, about: some thirty arrays are made of them."""
BLOCK = 1 << 20
"""Numbers that stay in one span together."""


class UnknownLabel(Exception):
    """A mark has a label that the vocabulary does not know."""


@dataclass(frozen=True)
class Context:
    """What else is known of n numbers.

    Attributes:
        former: int64 (n,), marks of earlier epochs.
        epoch, epoch_start_ms: int64 (n,).
        decided_category: int64 (n,): -1 none, 0 cleared, else the category.
        decided_by: authority of each decision, "" without.
        prior: what their behaviour says; None: nothing of any.
    """

    former: I64
    epoch: I64
    epoch_start_ms: I64
    decided_category: I64
    decided_by: list[str]
    prior: Prior | None = None


class Reader:
    """Reads marks as of a time, in the words of a vocabulary."""

    def __init__(
        self,
        store: Store,
        as_of_ms: int,
        vocabulary: domain.Vocabulary,
        proof: set[int],
        told: Callable[[Scope], Told | None] = lambda scope: None,
    ) -> None:
        """Nothing is read yet; `told`: what behaviour says of the numbers in scope."""
        self._told = told
        self._store, self._as_of_ms, self._vocabulary = store, as_of_ms, vocabulary
        self._proof = np.array(sorted(proof), dtype=np.uint64)

    def spans(self) -> Iterator[Span]:
        """Ranges of numbers that cover all, with about SPAN_MARKS marks each."""
        blocks = queries.block_counts(self._store, BLOCK)
        low, held = queries.LOWEST, 0
        for block, count in zip(
            blocks["block"].to_pylist(), blocks["marks"].to_pylist(), strict=True
        ):
            if held and held + count > SPAN_MARKS:
                yield Span(low, block * BLOCK)
                low, held = block * BLOCK, 0
            held += count
        yield Span(low, queries.HIGHEST)

    def acquaint(self, spans: list[Span], sample: Scope) -> Honesty:
        """The known reporters with first marks and rings, and, from a sample of the numbers, how
        often each source names calls.
        """
        keys, as_of_ms = self._vocabulary.source_keys, self._as_of_ms
        first = queries.first_marks(self._store, as_of_ms)
        rings = Rings(first["reporter"].to_numpy().astype(np.uint64))
        for span in spans:
            table = queries.crowds(self._store, as_of_ms, span, RING_COMPANIONS + 1)
            columns = {name: table[name].to_numpy() for name in table.column_names}
            source_at = np.searchsorted(keys, columns["source"])
            rings.add(columns["number"], source_at, columns["reporter"])
        calls = queries.callers(self._store, as_of_ms, sample, domain.USER, FEW)
        at = np.searchsorted(keys, calls["source"].to_numpy())
        people, without = np.zeros(len(keys)), np.zeros(len(keys))
        people[at], without[at] = calls["people"].to_numpy(), calls["without"].to_numpy()
        start = domain.starting_accuracies(self._vocabulary, np.zeros(len(self._vocabulary.labels)))
        return Honesty(
            start.honesty.stratum,
            rings.reporters(first["first_ms"].to_numpy()),
            missing_calls(people, without),
        )

    def read(self, scope: Scope, known: Honesty) -> tuple[domain.Marks, Context]:
        """Marks that stand of the numbers in scope, and what else is known of these.

        Raises:
            UnknownLabel: the vocabulary lacks a label.
        """
        read = self._facts(scope)
        return self._arranged(read, read.marks, read.numbers, known)

    def read_in_parts(self, numbers: I64, known: Honesty) -> Iterator[tuple[domain.Marks, Context]]:
        """The same of ascending numbers, some after the other, with about PART_MARKS marks each.

        Raises:
            UnknownLabel: the vocabulary lacks a label.
        """
        left, count = numbers, FIRST_AT_ONCE
        while True:
            some, left = left[:count], left[count:]
            read = self._facts(some)
            yield from self._arranged_in_parts(read, known)
            if not len(left):
                return
            count = count_for(len(some), len(read.marks["number"]), MARKS_AT_ONCE)

    def _arranged_in_parts(
        self, read: "_Facts", known: Honesty
    ) -> Iterator[tuple[domain.Marks, Context]]:
        number, first = read.marks["number"], 0
        for rows in parts(number, PART_MARKS):
            # Those without marks belong to the part after which they come.
            after = len(read.numbers)
            if rows.stop < len(number):
                after = int(np.searchsorted(read.numbers, number[rows.stop]))
            some = {name: column[rows] for name, column in read.marks.items()}
            yield self._arranged(read, some, read.numbers[first:after], known)
            first = after

    def _facts(self, scope: Scope) -> "_Facts":
        marks = _not_withdrawn(queries.marks(self._store, self._as_of_ms, scope))
        decided = queries.decisions(self._store, self._as_of_ms, scope)
        number = marks["number"]
        if isinstance(scope, np.ndarray):
            numbers = scope
        else:
            new = np.append(True, number[1:] != number[:-1])[: len(number)]
            numbers = number[new].astype(np.int64, copy=False)
            if decided.num_rows:
                numbers = np.union1d(numbers, decided["number"].to_numpy())
        return _Facts(
            marks,
            numbers,
            queries.epochs(self._store, self._as_of_ms, scope),
            decided,
            queries.verdicts(self._store, self._as_of_ms, scope),
            self._told(scope),
        )

    def _arranged(
        self, read: "_Facts", columns: Mapping[str, npt.NDArray[Any]], universe: I64, known: Honesty
    ) -> tuple[domain.Marks, Context]:
        vocabulary = self._vocabulary
        label = columns["label"].astype(np.uint64, copy=False)
        at = np.minimum(
            np.searchsorted(vocabulary.labels, label), max(len(vocabulary.labels) - 1, 0)
        )
        if len(label) and (not len(vocabulary.labels) or (vocabulary.labels[at] != label).any()):
            raise UnknownLabel
        number = columns["number"].astype(np.int64, copy=False)
        occurred = columns["occurred_ms"].astype(np.int64, copy=False)
        reporter = columns["reporter"].astype(np.uint64, copy=False)
        source_at = vocabulary.source_at[at]
        present = occurred >= _lookup(read.epochs, "start_ms", number)
        new = np.append(True, number[1:] != number[:-1])[: len(number)]
        place_at = np.searchsorted(universe, number[new])[np.cumsum(new) - 1]
        former = np.bincount(place_at[~present], minlength=len(universe)).astype(np.int64)
        stands = present.copy()
        stands[present] = domain.latest_of_reporter(
            number[present], source_at[present], reporter[present], occurred[present]
        )
        number_at = place_at[stands]
        has_call = columns["has_call"][stands] > 0
        proof = np.isin(vocabulary.source_keys, self._proof)[source_at[stands]]
        kind = columns["kind"][stands]
        weight = domain.mark_weights(
            self._as_of_ms - occurred[stands],
            vocabulary.half_life_ms[at[stands]],
            has_call,
            proof,
            kind,
        )
        shown = _lookup(read.verdicts, "shown_ms", universe)
        reporter_at = known.reporters.find(reporter[stands])
        marks = domain.Marks(
            numbers=universe,
            number_at=number_at,
            label_at=at[stands],
            source_at=source_at[stands],
            weight=domain.compare(number_at, weight, len(universe)),
            occurred_ms=occurred[stands],
            reporter_at=reporter_at,
            trait=traits(
                number_at,
                source_at[stands],
                vocabulary.top_category[at[stands]],
                occurred[stands],
                reporter[stands] != 0,
                reporter_at,
                proof,
                has_call,
                kind == domain.USER,
                known.missing,
                known.reporters,
            ),
            judges=(shown[number_at] == 0) | (occurred[stands] < shown[number_at]),
            mark_key=columns["mark_key"][stands].astype(np.uint64),
        )
        epoch_start = _lookup(read.epochs, "start_ms", universe)
        category = np.full(len(universe), -1, dtype=np.int64)
        decided_by = [""] * len(universe)
        for i, row in _rows_at(read.decided, universe):
            if read.decided["decided_at"][row].as_py() >= epoch_start[i]:
                category[i] = read.decided["decided"][row].as_py()
                decided_by[i] = read.decided["decided_by"][row].as_py()
        epoch = _lookup(read.epochs, "epoch", universe)
        prior = None if read.told is None else read.told.of(universe, vocabulary.categories)
        return marks, Context(former, epoch, epoch_start, category, decided_by, prior)


@dataclass(frozen=True)
class _Facts:
    """What the store has of `numbers`, ascending; `marks`: those not withdrawn, by number."""

    marks: Mapping[str, npt.NDArray[Any]]
    numbers: I64
    epochs: pa.Table
    decided: pa.Table
    verdicts: pa.Table
    told: Told | None


def _rows_at(table: pa.Table, numbers: I64) -> list[tuple[int, int]]:
    """(place in numbers, row of the table) for every row whose number is there."""
    keys = table["number"].to_numpy()
    at = np.minimum(np.searchsorted(numbers, keys), max(len(numbers) - 1, 0))
    if not len(numbers):
        return []
    return [(int(i), row) for row, i in enumerate(at) if numbers[i] == keys[row]]


def _lookup(table: pa.Table, name: str, numbers: I64) -> I64:
    """A column's value at each number, 0 where the table has none; the table is ascending."""
    keys = table["number"].to_numpy()
    if len(keys) == 0:
        return np.zeros(len(numbers), dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, numbers), len(keys) - 1)
    values = table[name].to_numpy().astype(np.int64)
    return np.where(keys[at] == numbers, values[at], 0)


def _not_withdrawn(table: pa.Table) -> dict[str, npt.NDArray[Any]]:
    """Columns of the marks that no withdrawal takes back; its key is the mark's plus one."""
    columns = {name: table[name].to_numpy() for name in table.column_names}
    withdrawn = columns.pop("withdrawn") > 0
    if not withdrawn.any():
        return columns
    gone = columns["mark_key"][withdrawn] - np.uint64(1)
    stands = ~withdrawn & ~np.isin(columns["mark_key"], gone)
    return {name: column[stands] for name, column in columns.items()}

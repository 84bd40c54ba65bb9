"""Feature rows of touched numbers: their facts are read by number, and summed here.

A statement costs a millisecond before it reads anything, so there is one, and what changes with the
runs of the job alone is kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common import facts
from services.common.places import count_for, parts, place, runs
from services.common.store import Store
from services.features import blocks, domain, mark_rows, number_rows, queries
from services.features.alike import References
from services.features.columns import (
    I64,
    Aggregates,
    blocks_of,
    columns_of,
    numbers_of,
    side_by_side,
)
from services.features.definitions import BLOCK_SIZES, NAMES, NEAR_SIZES, TEN
from services.features.mark_sums import sums
from services.features.number_rows import behaviour_days

FIRST_AT_ONCE = 250
"""Numbers whose facts are read at first: each may have very many marks."""
FACTS_AT_ONCE = 1 << 18
"""Facts that are read at once, as far as those read before tell how many a number brings."""
SUMMED_AT_ONCE = 16_384
"""Marks that are summed at once, about: some thirty arrays are made of them."""
ROWS_AT_ONCE = 2_048
"""Numbers whose rows are made at once: each column is an array of its own before."""

U64 = npt.NDArray[np.uint64]
_NO_KEYS: U64 = np.zeros(0, dtype=np.uint64)


@dataclass(frozen=True)
class Wide:
    """What touched numbers take from a whole run, as long as it is the newest.

    Attributes:
        run: its id; 0: no job has run.
        as_of_ms: of the run.
        volumes: of its days.
        blocks: what the marks of its blocks sum to, of those of BLOCK_SIZES but TEN, by key.
        near: its neighbourhoods, by key.
        return_rate: share of all old numbers that returned.
        references: numbers that others are compared with by how they call.
    """

    run: int
    as_of_ms: int
    volumes: mark_rows.Volumes
    blocks: Aggregates
    near: Aggregates
    return_rate: float
    references: References

    @classmethod
    def of(cls, store: Store, run: int, as_of_ms: int) -> "Wide":
        """Read those of a run made as of that time."""
        table = columns_of(queries.neighbourhoods(store, run))
        near = {}
        for size in NEAR_SIZES:
            near[size] = {name: column[table["size"] == size] for name, column in table.items()}
        return cls(
            run,
            as_of_ms,
            volumes_of(queries.stored_day_volumes(store, run)),
            _row_by_row(columns_of(queries.block_sums(store, run))),
            _row_by_row(blocks.by_key(near, NEAR_SIZES, blocks.CONTRIBUTIONS)),
            blocks.common_return_rate(near),
            queries.references(store, run),
        )


def _row_by_row(table: Aggregates) -> Aggregates:
    """A table by `key`, whose other columns are of one type, laid out as `side_by_side` does."""
    return {"key": table["key"], **side_by_side({n: c for n, c in table.items() if n != "key"})}


def volumes_of(days: pa.Table) -> mark_rows.Volumes:
    """What marks of days weigh and how old they are, by how many there are of each."""
    marks = days["marks"].to_numpy().astype(np.int64)
    return mark_rows.Volumes(
        days["day"].to_numpy().astype(np.int64), domain.day_weights(marks), domain.day_ages(marks)
    )


def compute(
    store: Store,
    as_of: int,
    numbers: I64,
    excluded: U64 | None = None,
    wide: Wide | None = None,
    on_days: Callable[[Aggregates], None] | None = None,
) -> npt.NDArray[np.float32]:
    """Rows of ascending numbers as of a time, float32 (n, features).

    Marks of the `excluded` keys do not count. Day volumes and sums over more than TEN neighbours
    are wide and change slowly: they are those of the last `build` for that time or before; `wide`
    is given by who has read it before. `on_days` is given the days of behaviour that were read, of
    some numbers after the other.
    """
    wide = wide or Wide.of(store, *queries.wide_run(store, as_of))
    out = _NO_KEYS if excluded is None else excluded
    rows = np.empty((len(numbers), len(NAMES)), dtype=np.float32)
    at, count = 0, FIRST_AT_ONCE
    while at < len(numbers):
        part = numbers[at : at + count]
        found, read, days = _aggregated(store, as_of, part, out, wide)
        if on_days:
            on_days(days)
        for first in range(0, len(part), ROWS_AT_ONCE):
            some = part[first : first + ROWS_AT_ONCE]
            rows[at + first : at + first + len(some)] = domain.rows(some, as_of, found)
        at += len(part)
        count = count_for(len(part), read, FACTS_AT_ONCE)
    return rows


def days_of(store: Store, as_of: int, numbers: I64) -> Aggregates:
    """The days of calls of numbers that count at a time, as `compute` gives them to `on_days`."""
    return _days(facts.of_numbers(store, numbers, numbers, as_of, behaviour_days(as_of)))


def _days(told: Mapping[str, Aggregates]) -> Aggregates:
    return facts.newest(told["behaviour"], "number", "day", "carrier")


def _aggregated(
    store: Store, as_of: int, numbers: I64, excluded: U64, wide: Wide
) -> tuple[domain.Aggregated, int, Aggregates]:
    """What the numbers' facts sum to, how many were read for it, and the days of calls."""
    around = numbers_of(runs(blocks_of(numbers, TEN))[0], TEN)
    told = facts.of_numbers(store, numbers, around, as_of, behaviour_days(as_of))
    read, events, days = told["marks"], told["lifecycle"], _days(told)
    epochs = number_rows.epochs(events)
    counts, is_withdrawal = mark_rows.counting(read, epochs, excluded)
    _, asked = place(numbers, read["number"])
    marks = _summed(as_of, read, np.flatnonzero(counts & asked), wide.volumes)
    here = blocks.recent_marks(as_of, read["number"][counts], read["occurred_ms"][counts])
    before = _counted_by(wide.as_of_ms, read, asked, events, epochs)
    found = domain.Aggregated(
        marks=marks,
        epochs=epochs,
        withdrawals=mark_rows.withdrawn(read, is_withdrawal),
        behaviour=number_rows.behaviour(days),
        registrations=number_rows.registrations(told["registry"], as_of),
        contributed=blocks.contributions(as_of, marks),
        blocks=[
            blocks.Blocks((TEN,), blocks.marks_of_tens(here), marks),
            blocks.Blocks(BLOCK_SIZES[1:], wide.blocks, before),
        ],
        near=wide.near,
        return_rate=wide.return_rate,
        references=wide.references,
    )
    return found, sum(len(rows["number"]) for rows in told.values()), days


def _summed(as_of: int, read: Aggregates, which: I64, volumes: mark_rows.Volumes) -> Aggregates:
    """`sums` of those rows of what was read, some numbers after the other."""
    which = which[np.lexsort((-read["occurred_ms"][which], read["number"][which]))]
    found = []
    for part in parts(read["number"][which], SUMMED_AT_ONCE):
        rows = which[part]
        some = {name: column[rows] for name, column in read.items()}
        found.append(sums(mark_rows.MarkRows(as_of, some, volumes)))
    if len(found) == 1:
        return found[0]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def _counted_by(
    run_as_of: int,
    read: Aggregates,
    asked: npt.NDArray[np.bool_],
    events: Aggregates,
    epochs: Aggregates,
) -> Aggregates:
    """What the sums of a run hold of the numbers asked about: theirs by then, whatever was
    withdrawn or excluded since."""
    then = asked & (read["occurred_ms"] <= run_as_of)
    marks = {n: read[n][then] for n in ("number", "occurred_ms", "mark_key", "withdrawn")}
    by_then = events["occurred_ms"] <= run_as_of
    if not by_then.all():
        epochs = number_rows.epochs({name: column[by_then] for name, column in events.items()})
    counts, _ = mark_rows.counting(marks, epochs, _NO_KEYS)
    return blocks.recent_marks(run_as_of, marks["number"][counts], marks["occurred_ms"][counts])

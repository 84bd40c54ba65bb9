"""One version of the published state: tables over each other. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.reputation.churn import Churn
from services.reputation.published import packing, table
from services.reputation.published.packing import NAMES, Columns
from services.reputation.published.shelf import Mark
from services.reputation.published.table import Table

I64 = npt.NDArray[np.int64]

ESTABLISHED = 3
"""The wire's ReputationState of a label that independent evidence agrees on."""
RISK_STEP = 0.02
"""Hysteresis: a risk that moves less is not published anew."""
PROBABILITY_STEP = 0.05
"""The same for the probability of the category."""


@dataclass(frozen=True)
class Snapshot:
    """One version: tables over each other, newest first. The first that has a number stands.

    Attributes:
        version, as_of_ms, publish_ms, change_cursor: of the newest version in it.
        number_count: distinct numbers.
    """

    version: int = 0
    as_of_ms: int = 0
    publish_ms: int = 0
    change_cursor: str = ""
    number_count: int = 0
    layers: tuple[Table, ...] = ()

    def place(self, number: int) -> tuple[Table, int] | None:
        """The table that has a number, and its row there."""
        for layer in self.layers:
            at = layer.index.find_one(number)
            if at >= 0:
                return layer, at
        return None

    def places(self, numbers: I64) -> list[tuple[Table, I64, I64]]:
        """For each table: which of the numbers it answers for, and their rows in it."""
        found = []
        left: I64 | None = None
        for layer in self.layers:
            rows = layer.index.find(numbers if left is None else numbers[left])
            hit = rows >= 0
            if left is None and np.count_nonzero(hit) == len(hit):
                return [(layer, np.arange(len(rows)), rows)]
            which = np.flatnonzero(hit) if left is None else left[hit]
            if len(which):
                found.append((layer, which, rows[hit]))
            left = np.flatnonzero(~hit) if left is None else left[~hit]
        return found

    def count_new(self, numbers: I64) -> int:
        """How many of distinct numbers it does not have."""
        return len(numbers) - sum(len(which) for _, which, _ in self.places(numbers))

    def bucket(self, head: int) -> I64:
        """Numbers whose hash begins with these two bytes, ascending."""
        found = [layer.index.keys_of(layer.hashed.find(head)) for layer in self.layers]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)

    def columns(
        self, numbers: I64, names: Sequence[str] = NAMES
    ) -> tuple[Columns, npt.NDArray[np.bool_]]:
        """Columns of any numbers in their order, and which of them are known; others are zeros."""
        known = np.zeros(len(numbers), dtype=bool)
        columns: Columns = {}
        for layer, which, rows in self.places(numbers):
            known[which] = True
            for name, values in layer.columns(names, rows).items():
                if name not in columns:
                    columns[name] = np.zeros((len(numbers), *values.shape[1:]), values.dtype)
                columns[name][which] = values
        if not columns:
            empty = table.of_columns(NOTHING).columns(names)
            for name, values in empty.items():
                columns[name] = np.zeros((len(numbers), *values.shape[1:]), values.dtype)
        return columns, known

    def find(self, number: int) -> tuple[Any, ...] | None:
        """The row of a number in the order of NAMES, or None."""
        found = self.place(number)
        if found is None:
            return None
        layer, at = found
        row = layer.columns(NAMES, np.array([at]))
        return tuple(row[name][0] for name in NAMES)


def _nothing() -> Columns:
    columns: Columns = {name: np.zeros(0, dtype=np.int64) for name in NAMES}
    for name in ("categories", "probabilities"):
        columns[name] = np.zeros((0, packing.TOP))
    for name in ("rule", "reasons", "model_version"):
        columns[name] = np.zeros(0, dtype=object)
    return columns


NOTHING = _nothing()
"""No rows."""


def snapshot_of(mark: Mark, layers: Sequence[Table]) -> Snapshot:
    """A snapshot of tables over each other, newest first."""
    return Snapshot(
        mark.version,
        mark.as_of_ms,
        mark.publish_ms,
        mark.change_cursor,
        mark.number_count,
        tuple(layer for layer in layers if len(layer)),
    )


def with_records(layers: Sequence[Table], records: Sequence[tuple[Mark, Table]]) -> list[Table]:
    """Layers with the versions of a log over them, oldest record first."""
    recent = [layer for layer in layers if not layer.name]
    kept = [layer for layer in layers if layer.name]
    new = [record for _, record in reversed(records) if len(record)]
    return [*([table.merged([*new, *recent])] if new or recent else []), *kept]


def flatten(snapshot: Snapshot, names: Sequence[str] = NAMES) -> Columns:
    """Columns of all numbers, ascending by number."""
    return _gathered([(layer, None) for layer in snapshot.layers], names)


def changed_from(snapshot: Snapshot, numbers: I64, version: int) -> npt.NDArray[np.bool_]:
    """Which of the numbers changed in that version or later, bool (n,); none for version 0."""
    if not version:
        return np.zeros(len(numbers), dtype=bool)
    columns, known = snapshot.columns(numbers, ("version",))
    changed: npt.NDArray[np.bool_] = known & (columns["version"] >= version)
    return changed


def changed_since(snapshot: Snapshot, version: int, names: Sequence[str] = NAMES) -> Columns:
    """Columns of the numbers whose value changed after a version, ascending by number."""
    return _gathered([(layer, layer.since(version)) for layer in snapshot.layers], names)


def _gathered(parts: Sequence[tuple[Table, I64 | None]], names: Sequence[str]) -> Columns:
    """Columns of some rows (None: all) of tables, newest first, each number once."""
    if not parts:
        return table.of_columns(NOTHING).columns(names)
    wanted = ("number", *(name for name in names if name != "number"))
    found: list[Columns] = []
    for at, (layer, rows) in enumerate(parts):
        hidden = [
            layer.index.find(above.index.keys() if picked is None else above.index.keys_of(picked))
            for above, picked in parts[:at]
        ]
        taken: Any = slice(None) if rows is None else rows
        if hidden and (over := np.concatenate(hidden)).size:
            stands = np.ones(len(layer), dtype=bool)
            stands[over[over >= 0]] = False
            taken = np.flatnonzero(stands) if rows is None else rows[stands[rows]]
        found.append(layer.columns(wanted, taken))
    if len(found) == 1:
        return found[0]
    whole = {name: np.concatenate([part[name] for part in found]) for name in wanted}
    order = np.argsort(whole["number"], kind="stable")
    return {name: column[order] for name, column in whole.items()}


def moved(before: Snapshot, rows: Columns) -> npt.NDArray[np.bool_]:
    """Which rows differ enough from what is published to be published, bool (n,)."""
    if before.number_count == 0:
        return np.ones(len(rows["number"]), dtype=bool)
    equal = ("category", "level", "state", "rule", "mark_count", "former_mark_count",
             "epoch", "last_mark_ms", "first_mark_ms")  # fmt: skip
    old, same = before.columns(rows["number"], (*equal, "risk", "probability"))
    for name in equal:
        same &= old[name] == rows[name]
    same &= np.abs(old["risk"].astype(float) - rows["risk"].astype(float)) < RISK_STEP
    gap = np.abs(old["probability"].astype(float) - rows["probability"].astype(float))
    same &= gap < PROBABILITY_STEP
    return ~same


def churn(before: Snapshot, rows: Columns) -> Churn:
    """Established labels, and those that `rows` take away or put into another group.

    A number whose epoch changed is another holder's: its label is meant to go.
    """
    every = flatten(before, ("category", "state"))
    established = int(((every["state"] == ESTABLISHED) & (every["category"] > 0)).sum())
    known, there = before.columns(rows["number"], ("category", "state", "epoch"))
    concerned = there & (known["state"] == ESTABLISHED) & (known["category"] > 0)
    was, now = known["category"].astype(np.int64), rows["category"].astype(np.int64)
    same_holder = known["epoch"].astype(np.int64) == rows["epoch"].astype(np.int64)
    moved_away = concerned & same_holder & (was // 1000 != now // 1000)
    return Churn(established, int(moved_away.sum()))

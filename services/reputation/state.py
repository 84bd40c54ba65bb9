"""The published state in memory: what lookups are answered from."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.places import place

Columns = dict[str, npt.NDArray[Any]]

NAMES = (
    "number",
    "version",
    "category",
    "probability",
    "categories",
    "probabilities",
    "risk",
    "level",
    "state",
    "rule",
    "effective_sources",
    "mark_count",
    "former_mark_count",
    "first_mark_ms",
    "last_mark_ms",
    "reasons",
    "epoch",
    "update_ms",
    "model_version",
)
"""Columns of a published row."""

ESTABLISHED = 3
"""The wire's ReputationState of a label that independent evidence agrees on."""
RISK_STEP = 0.02
"""Hysteresis: a risk that moves less is not published anew."""
PROBABILITY_STEP = 0.05
"""The same for the probability of the category."""


@dataclass(frozen=True)
class Snapshot:
    """One version: a sorted base and the rows that changed since.

    Attributes:
        version, as_of_ms, publish_ms, change_cursor: of the newest version in it.
        base: columns by NAMES, ascending by number.
        changed: by number, a row in the order of NAMES.
    """

    version: int = 0
    as_of_ms: int = 0
    publish_ms: int = 0
    change_cursor: str = ""
    base: Columns = field(default_factory=lambda: {n: np.zeros(0, dtype=np.int64) for n in NAMES})
    changed: Mapping[int, tuple[object, ...]] = field(default_factory=dict)
    number_count: int = 0

    def find(self, number: int) -> tuple[object, ...] | None:
        """The row of a number, or None."""
        row = self.changed.get(number)
        if row is not None:
            return row
        keys = self.base["number"]
        at = int(keys.searchsorted(number))
        if at == len(keys) or keys[at] != number:
            return None
        return tuple(self.base[name][at] for name in NAMES)


class PublishedState:
    """The newest snapshot; replaced as a whole, never changed."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._snapshot = Snapshot()

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot."""
        return self._snapshot

    def apply(
        self, rows: Columns, version: int, as_of_ms: int, publish_ms: int, change_cursor: str
    ) -> None:
        """Add a version: few rows beside the base, many into a new base."""
        with self._lock:
            before = self._snapshot
            changed = dict(before.changed)
            count = before.number_count
            if len(rows["number"]) + len(changed) > 200_000:
                base = merge(flatten(before), rows)
                changed, count = {}, len(base["number"])
            else:
                base = before.base
                for row in zip(*(rows[name] for name in NAMES), strict=True):
                    count += before.find(int(row[0])) is None
                    changed[int(row[0])] = row
            self._snapshot = Snapshot(
                version, as_of_ms, publish_ms, change_cursor, base, changed, count
            )
            self._lock.notify_all()

    def wait_newer(self, version: int, timeout_s: float) -> bool:
        """Wait until a version newer than that is published; whether there is one."""
        with self._lock:
            return self._lock.wait_for(lambda: self._snapshot.version > version, timeout_s)


def flatten(snapshot: Snapshot) -> Columns:
    """All rows of a snapshot as columns, ascending by number."""
    if not snapshot.changed:
        return dict(snapshot.base)
    keys = sorted(snapshot.changed)
    rows: Columns = {}
    for at, name in enumerate(NAMES):
        column = [snapshot.changed[key][at] for key in keys]
        rows[name] = _column(name, column)
    return merge(dict(snapshot.base), rows)


def changed_since(snapshot: Snapshot, version: int) -> Columns:
    """Rows whose value changed after a version, ascending by number."""
    late = snapshot.base["version"] > version
    base = {name: column[late] for name, column in snapshot.base.items()}
    changed = {key: row for key, row in snapshot.changed.items() if int(str(row[1])) > version}
    return flatten(Snapshot(base=base, changed=changed))


def _column(name: str, values: list[object]) -> npt.NDArray[Any]:
    if name in ("categories", "probabilities"):
        return np.stack([np.asarray(v) for v in values])
    if name in ("reasons", "rule", "model_version"):
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    return np.array(values)


def merge(base: Columns, rows: Columns) -> Columns:
    """Base with rows put over it, ascending by number."""
    if len(base["number"]) == 0:
        order = np.argsort(rows["number"], kind="stable")
        return {name: rows[name][order] for name in NAMES}
    keep = ~np.isin(base["number"], rows["number"])
    number = np.concatenate([base["number"][keep], rows["number"]])
    order = np.argsort(number, kind="stable")
    merged = {}
    for name in NAMES:
        merged[name] = np.concatenate([base[name][keep], rows[name]])[order]
    return merged


def moved(before: Snapshot, rows: Columns) -> npt.NDArray[np.bool_]:
    """Which rows differ enough from what is published to be published, bool (n,)."""
    if before.number_count == 0:
        return np.ones(len(rows["number"]), dtype=bool)
    old = flatten(before)
    at = np.minimum(np.searchsorted(old["number"], rows["number"]), len(old["number"]) - 1)
    known = old["number"][at] == rows["number"]
    same = known.copy()
    for name in ("category", "level", "state", "rule", "mark_count", "former_mark_count",
                 "epoch", "last_mark_ms", "first_mark_ms"):  # fmt: skip
        same &= old[name][at] == rows[name]
    same &= np.abs(old["risk"][at].astype(float) - rows["risk"].astype(float)) < RISK_STEP
    gap = np.abs(old["probability"][at].astype(float) - rows["probability"].astype(float))
    same &= gap < PROBABILITY_STEP
    return ~same


@dataclass(frozen=True)
class Churn:
    """How many established labels there are, and how many of them a version would move."""

    established: int
    moved: int

    @property
    def share(self) -> float:
        """Moved of the established, in [0, 1]."""
        return self.moved / self.established if self.established else 0.0


def churn(before: Snapshot, rows: Columns) -> Churn:
    """Established labels, and those that `rows` take away or put into another group.

    A number whose epoch changed is another holder's: its label is meant to go.
    """
    known = flatten(before)
    established = (known["state"] == ESTABLISHED) & (known["category"] > 0)
    at, there = place(known["number"], rows["number"])
    if not established.any() or not len(at):
        return Churn(int(established.sum()), 0)
    concerned = there & established[at]
    was, now = known["category"][at].astype(np.int64), rows["category"].astype(np.int64)
    same_holder = known["epoch"][at].astype(np.int64) == rows["epoch"].astype(np.int64)
    moved_away = concerned & same_holder & (was // 1000 != now // 1000)
    return Churn(int(established.sum()), int(moved_away.sum()))

"""The published state as its one writer holds it, in memory or in a folder that others read."""

import dataclasses
import threading
from collections.abc import Sequence
from pathlib import Path

from services.reputation.currency import STALE_S, Currency
from services.reputation.published import table
from services.reputation.published.packing import Columns
from services.reputation.published.shelf import Mark, Shelf
from services.reputation.published.table import Table
from services.reputation.snapshot import Snapshot, snapshot_of, with_records

RECENT_ROWS = 1 << 15
"""Rows that each reader keeps in its own memory; more go into a file that all share."""
MIDDLE_ROWS = 100_000
MIDDLE_SHARE = 0.05
"""Rows that may lie over the large table; with more of them, or a larger share of it, it is written
anew."""


class PublishedState:
    """The newest snapshot; replaced as a whole, never changed.

    With a folder, what is published is kept there for other processes and the next start.
    """

    def __init__(self, folder: Path | None = None, stale_s: float = STALE_S) -> None:
        """Take the folder, if there is one, and what is good in it.

        Answers are marked stale from that age on.

        Raises:
            Unavailable: STATE_IN_USE.
        """
        self.currency = Currency(stale_s)
        self._lock = threading.Condition()
        self._snapshot = Snapshot()
        self._shelf = None if folder is None else Shelf(folder)
        loaded = None if self._shelf is None else self._shelf.load()
        if loaded is not None:
            tables, records, mark = loaded
            self._snapshot = snapshot_of(mark, with_records(tables, records))
        self._has_log = loaded is not None

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot."""
        return self._snapshot

    def apply(
        self, rows: Columns, version: int, as_of_ms: int, publish_ms: int, change_cursor: str
    ) -> None:
        """Add a version."""
        with self._lock:
            before = self._snapshot
            new = table.of_columns(rows)
            count = before.number_count + before.count_new(new.index.keys())
            mark = Mark(version, as_of_ms, publish_ms, change_cursor, count)
            self._show(mark, self._laid(new, mark))

    def replace(self, parts: Sequence[Table], mark: Mark) -> None:
        """Put tables of distinct numbers in the place of all that was published."""
        mark = dataclasses.replace(mark, number_count=sum(map(len, parts)))
        with self._lock:
            layers = [self._written(mark, parts)] if parts else []
            self._begin_log(mark, layers)
            self._show(mark, layers)

    def wait_newer(self, version: int, timeout_s: float) -> bool:
        """Wait until a version newer than that is published; whether there is one."""
        with self._lock:
            return self._lock.wait_for(lambda: self._snapshot.version > version, timeout_s)

    def close(self) -> None:
        """Give the folder up."""
        if self._shelf is not None:
            self._shelf.close()

    def _show(self, mark: Mark, layers: Sequence[Table]) -> None:
        self._snapshot = snapshot_of(mark, layers)
        self._lock.notify_all()

    def _laid(self, new: Table, mark: Mark) -> list[Table]:
        """The layers with a new table over them: few rows in memory, more in files."""
        layers = list(self._snapshot.layers)
        recent = [layer for layer in layers if not layer.name]
        kept = [layer for layer in layers if layer.name]
        if len(new) + sum(map(len, recent)) <= RECENT_ROWS and (
            self._shelf is None or self._has_log
        ):
            if self._shelf is not None:
                self._shelf.append(mark, new)
            return [table.merged([new, *recent]), *kept] if len(new) else layers
        middle, base = kept[:-1], kept[-1:]
        largest = max(MIDDLE_ROWS, MIDDLE_SHARE * sum(map(len, base)))
        if base and len(new) + sum(map(len, (*recent, *middle))) <= largest:
            layers = [self._written(mark, [new, *recent, *middle]), *base]
        else:
            layers = [self._written(mark, [new, *recent, *kept])]
        self._begin_log(mark, layers)
        return layers

    def _written(self, mark: Mark, parts: Sequence[Table]) -> Table:
        if self._shelf is None:
            return table.named(table.merged(parts), "memory")
        return self._shelf.write(mark, parts)

    def _begin_log(self, mark: Mark, layers: Sequence[Table]) -> None:
        if self._shelf is not None:
            self._shelf.replace(mark, layers)
            self._has_log = True

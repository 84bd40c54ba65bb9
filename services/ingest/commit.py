"""Group commit: what many callers submit at once becomes one block in the store."""

import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.clock import Clock
from services.common.errors import DomainError, ResourceExhausted, Unavailable
from services.common.lease import Fence, lost
from services.common.store import Store
from services.common.telemetry import OFF, Telemetry, Value, names
from services.common.telemetry.traces import end, written
from services.ingest import queries

log = logging.getLogger(__name__)

MAX_WAITING_ROWS = 2_000_000
"""Rows that may wait for a commit before callers are turned away."""

RETRY_S = 2
"""So long a caller that was turned away is asked to wait, at least."""

MAX_BLOCK_ROWS = 400_000
"""Rows of one block; a submission is never split."""

TOUCHES = "changes"
"""Table of a submission of numbers that nothing was submitted about."""

Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Submission:
    """Valid rows of one caller for one table.

    Attributes:
        table: a table of this service, or TOUCHES: numbers that are only listed as changed.
        columns: its columns but seq and received_ms; `number` is among them.
        names: rows of the dictionary tables `sources` and `labels` that the rows point to.
        until: time.monotonic() after which nobody waits for the answer any more.
        done: resolved with a bool (n,): whether each row is new.
    """

    table: str
    columns: Columns
    names: Sequence[tuple[str, tuple[object, ...]]] = ()
    until: float = math.inf
    done: "Future[npt.NDArray[np.bool_]]" = field(default_factory=Future)

    @property
    def row_count(self) -> int:
        """Rows in it."""
        return len(self.columns["number"])

    def answer(self) -> npt.NDArray[np.bool_]:
        """Wait for `done`, no longer than anybody waits for it.

        Raises:
            Unavailable: as `Committer.submit` says.
        """
        left_s = None if self.until == math.inf else max(self.until - time.monotonic(), 0.0)
        try:
            return self.done.result(left_s)
        except TimeoutError:
            raise too_late() from None


@dataclass(frozen=True)
class _Waiting:
    """A submission, the span that it was submitted in ("" untraced), and when, ns since 1970."""

    submission: Submission
    trace: str
    since_ns: int


class Committer:
    """Writes submissions in blocks, one writer thread; an answered row is durable.

    The order within a block makes a crash harmless: marks, then their ids, then the commit
    record. What stands without a record is completed at the next start.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        fence: Fence | None = None,
        telemetry: Telemetry = OFF,
    ) -> None:
        """Complete what stands without a record, and begin.

        Raises:
            Unavailable: LEASE_LOST, STORE_UNAVAILABLE.
        """
        self._store, self._clock, self._fence = store, clock, fence
        self._telemetry = telemetry
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._waiting_rows = 0
        for table in (*queries.FACT_TABLES, TOUCHES):
            telemetry.expect(names.COMMITTED, table)
        self._since_ns: deque[int] = deque()
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._named: set[tuple[str, object]] = set()
        self._torn = self._is_closed = False
        self._next_seq = queries.repair(store, fence, clock())
        self._thread = threading.Thread(target=self._run, name="ingest-commit", daemon=True)
        self._thread.start()

    def submit(self, submission: Submission) -> npt.NDArray[np.bool_]:
        """Wait until the rows are durable. Returns whether each is new, bool (n,).

        Raises:
            ResourceExhausted: QUEUE_FULL.
            Unavailable: STORE_UNAVAILABLE, LEASE_LOST, or the deadline has passed; the rows may or
                may not be there: send them again.
        """
        rows = submission.row_count
        if rows == 0:
            return np.zeros(0, dtype=bool)
        waiting = _Waiting(submission, self._telemetry.traces.current(), time.time_ns())
        with self._lock:
            if self._is_closed:
                raise lost("ingest")
            if self._waiting_rows + rows > MAX_WAITING_ROWS:
                raise ResourceExhausted(
                    "QUEUE_FULL",
                    f"more than {MAX_WAITING_ROWS} rows wait to be stored; try again",
                    maximum=MAX_WAITING_ROWS,
                    retry_after_s=RETRY_S,
                )
            self._waiting_rows += rows
            self._since_ns.append(waiting.since_ns)
            self._waiting.put(waiting)
        return submission.answer()

    @property
    def last_seq(self) -> int:
        """Greatest committed seq, 0 before the first."""
        return self._next_seq - 1

    def values(self) -> list[Value]:
        """Gauges of the queue."""
        with self._lock:
            rows, oldest_ns = self._waiting_rows, self._since_ns[0] if self._since_ns else None
        age_s = 0.0 if oldest_ns is None else max(time.time_ns() - oldest_ns, 0) / 1e9
        return [Value(names.QUEUE_AGE, age_s), Value(names.QUEUE_ROWS, rows)]

    def wait_beyond(self, seq: int, timeout_s: float) -> bool:
        """Wait until something after `seq` is committed. Returns whether there is."""
        with self._changed:
            return self._changed.wait_for(lambda: self.last_seq > seq, timeout_s)

    def close(self) -> None:
        """Commit what waits, then stop."""
        with self._lock:
            self._is_closed = True
            self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            group = [self._waiting.get()]
            rows = group[0].submission.row_count if group[0] else 0
            while rows < MAX_BLOCK_ROWS and group[-1] is not None:
                try:
                    group.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
                rows += group[-1].submission.row_count if group[-1] else 0
            self._take([w for w in group if w is not None])
            if group[-1] is None:
                return

    def _take(self, waiting: Sequence[_Waiting]) -> None:
        """Commit what somebody still waits for; what is late is not begun."""
        now = time.monotonic()
        wanted = [w for w in waiting if w.submission.until > now]
        for late in waiting:
            if late.submission.until <= now:
                late.submission.done.set_exception(too_late())
        if wanted:
            self._commit_group(wanted)
        with self._lock:
            self._waiting_rows -= sum(w.submission.row_count for w in waiting)
            for _ in waiting:
                self._since_ns.popleft()

    def _commit_group(self, waiting: Sequence[_Waiting]) -> None:
        submissions = [w.submission for w in waiting]
        spans = [self._telemetry.traces.begin(names.COMMIT, w.trace, w.since_ns) for w in waiting]
        try:
            fresh = self._write(submissions, [written(span) for span in spans])
        except Exception as error:  # every caller must hear of it, whatever it is
            self._torn, reason = True, "STORE_UNAVAILABLE"
            if isinstance(error, DomainError):
                reason = error.reason
                log.warning("a block was not stored: %s", error)
            else:
                log.exception("a block was not stored")
            for submission, span in zip(submissions, spans, strict=True):
                end(span, error)
                failure = Unavailable(reason, "the store did not take the batch; send it again")
                failure.__cause__ = error
                submission.done.set_exception(failure)
        else:
            for submission, new, span in zip(submissions, fresh, spans, strict=True):
                self._telemetry.count(names.COMMITTED, int(new.sum()), submission.table)
                end(span)
                submission.done.set_result(new)

    def _write(
        self, submissions: Sequence[Submission], traces: Sequence[str]
    ) -> list[npt.NDArray[np.bool_]]:
        now_ms = self._clock()
        if self._torn:  # the last block may stand half written
            self._next_seq = queries.repair(self._store, self._fence, now_ms)
            self._torn = False
        self._write_names([name for s in submissions for name in s.names], now_ms)
        seq = self._next_seq
        numbers, origins = [], []
        fresh: dict[int, npt.NDArray[np.bool_]] = {}
        for table in dict.fromkeys(s.table for s in submissions):
            chosen = [i for i, s in enumerate(submissions) if s.table == table]
            columns = {
                name: np.concatenate([submissions[i].columns[name] for i in chosen])
                for name in submissions[chosen[0]].columns
            }
            new = np.ones(len(columns["number"]), dtype=bool)
            if table == "marks":
                new = _first_seen(columns) & ~queries.known_marks(self._store, columns)
                columns = {name: column[new] for name, column in columns.items()}
            count = len(columns["number"])
            columns["seq"] = np.arange(seq, seq + count, dtype=np.uint64)
            if table != TOUCHES:
                queries.insert_facts(self._store, self._fence, table, columns, now_ms)
            numbers.append(columns["number"])
            seq += count
            at = 0
            for i in chosen:
                fresh[i] = new[at : at + submissions[i].row_count]
                at += submissions[i].row_count
                origins += [traces[i]] * int(fresh[i].sum()) if any(traces) else []
        queries.insert_changes(
            self._store, self._fence, self._next_seq, np.concatenate(numbers), now_ms, origins
        )
        with self._changed:
            self._next_seq = seq
            self._changed.notify_all()
        return [fresh[i] for i in range(len(submissions))]

    def _write_names(self, names: Sequence[tuple[str, tuple[object, ...]]], now_ms: int) -> None:
        new = {(table, row[0]): row for table, row in names if (table, row[0]) not in self._named}
        for table in dict.fromkeys(table for table, _ in new):
            queries.insert_names(
                self._store, table, [row for (t, _), row in new.items() if t == table], now_ms
            )
        self._named |= new.keys()


def too_late() -> Unavailable:
    """The error of rows whose caller's deadline passed before they were stored."""
    return Unavailable("STORE_UNAVAILABLE", "the deadline passed before the rows were stored")


def _first_seen(columns: Columns) -> npt.NDArray[np.bool_]:
    """Whether each mark is the first of its key and check in the block, bool (n,)."""
    pairs = np.stack([columns["mark_key"], columns["mark_check"]], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    new = np.zeros(len(pairs), dtype=bool)
    new[first] = True
    return new

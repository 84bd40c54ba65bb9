"""Publishing: full runs as one version, touched numbers within a second or two."""

import logging
import threading
import time
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from services.common.clock import Clock
from services.common.errors import DomainError, FailedPrecondition
from services.common.lease import Fence, lost
from services.common.registrations import in_force
from services.common.runs import PRESENT_MS
from services.common.store import Store
from services.common.telemetry import OFF, Telemetry, names
from services.reputation import queries, snapshot
from services.reputation.churn import MAX_CHURN, Churn, check_churn
from services.reputation.compose import Judged, Registry, compose
from services.reputation.judging import (
    Inputs,
    Upstream,
    add_reasons,
    judge_touched,
    judged_of_run,
    nobody,
)
from services.reputation.poison import judge_apart
from services.reputation.published import table
from services.reputation.published.shelf import Mark
from services.reputation.state import PublishedState
from zhengming.ingest.v1 import ingest_pb2

log = logging.getLogger(__name__)

BATCH = 10_000
READ_AT_ONCE = 1_000_000
"""Rows read from the store at a time where the folder has nothing good."""
LIVE = 0
FOLLOW_S = 0.2
"""Between two looks for a version of the owner's."""
RUN, TOUCHED = "run", "touched"
"""The two ways to publish, as metrics name them."""
CALL_TIMEOUT_S = 60


class Publisher:
    """The only writer of the published state, while it is the owner; else it follows the owner."""

    def __init__(
        self,
        store: Store,
        upstream: Upstream,
        published: PublishedState,
        clock: Clock,
        max_churn: float = MAX_CHURN,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._store, self._upstream, self._state = store, upstream, published
        self._clock, self._max_churn, self._telemetry = clock, max_churn, telemetry
        for way, outcome in (
            (RUN, "churn"),
            (TOUCHED, "upstream"),
            (TOUCHED, "internal"),
            (TOUCHED, "poison"),
        ):
            telemetry.expect(names.PUBLISH_FAILURES, way, outcome)
            telemetry.expect(names.PUBLISHED_CHANGES, way)
        telemetry.expect(names.FRESHNESS)
        self.last_churn: Churn | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._fence: Fence | None = None
        self._is_owner = self._is_torn = False
        self._load()

    def take_up(self, fence: Fence | None) -> None:
        """Publish from now on, after what a former owner published."""
        with self._lock:
            self._load()
            self._fence, self._is_owner = fence, True

    def lay_down(self) -> None:
        """Publish no more, and follow what the owner publishes."""
        with self._lock:
            self._is_owner = False

    def catch_up(self) -> bool:
        """Take over what the owner has published; whether there was anything."""
        with self._lock:
            held, newest = self._state.snapshot, queries.newest_live(self._store)
            if newest is None or newest["version"] <= held.version:
                return False
            self._advance(held.version, _mark(newest))
            return True

    def publish_run(self, run: int, max_churn: float | None = None) -> tuple[int, int, int]:
        """Publish a full run. Returns version, changed numbers, numbers.

        Args:
            max_churn: share of the established labels that may move; None: as configured.

        Raises:
            FailedPrecondition: JOB_NOT_RUN; CHURN_TOO_HIGH, and nothing is published.
            Unavailable: LEASE_LOST, and nothing is published.
        """
        times = queries.run_times(self._store, run)
        if times is None:
            raise FailedPrecondition(
                "JOB_NOT_RUN", f"run {run} is not scored", job="scoring", as_of=""
            )
        as_of_ms, cursor, model_version = times
        judged = judged_of_run(self._store, run)
        with self._lock:
            self._check_owner()
            before = self._state.snapshot
            now_ms = self._clock()
            is_behind = as_of_ms < before.as_of_ms
            live = not is_behind or self._is_present(as_of_ms, now_ms)
            version = self._next_version()
            registry = self._registry(as_of_ms)
            disputed = queries.disputed(self._store, as_of_ms)
            rows = compose(judged, registry, version, as_of_ms, model_version, disputed)
            if live:
                changed = snapshot.moved(before, rows)
                if is_behind:  # what was touched since stands, and is judged anew from the cursor
                    newer = queries.first_beyond(self._store, cursor)
                    changed &= ~snapshot.changed_from(before, rows["number"], newer)
                    as_of_ms = before.as_of_ms
                rows = {name: column[changed] for name, column in rows.items()}
                self.last_churn = snapshot.churn(before, rows)
                self._check_churn(self.last_churn, max_churn)
                lineage = LIVE
            else:  # a pass over the past is kept whole and apart; consumers do not see it
                lineage = version
            total = len(judged.number)
            if live:
                total = before.number_count + before.count_new(judged.number)
            self._insert(lineage, version, as_of_ms, now_ms, total, cursor, run, rows)
            if live:
                self._state.apply(rows, version, as_of_ms, now_ms, cursor)
                self._telemetry.count(names.PUBLISHED_CHANGES, len(rows["number"]), RUN)
        return version, len(rows["number"]), total

    def _is_present(self, as_of_ms: int, now_ms: int) -> bool:
        """Whether a pass that touched numbers overtook is the newest over the present."""
        return now_ms - as_of_ms <= PRESENT_MS and as_of_ms >= queries.last_pass_ms(self._store)

    def start(self) -> None:
        """Follow what ingest commits, in a thread of its own."""
        self._thread = threading.Thread(target=self._follow, name="publisher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch under way and stop."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def publish_changes(self, wait_s: float) -> bool:
        """Publish the next batch of touched numbers; whether there was one."""
        before = self._state.snapshot
        request = ingest_pb2.ListChangesRequest(cursor=before.change_cursor, page_size=BATCH)
        request.wait.FromMilliseconds(int(wait_s * 1000))
        changes = self._upstream.ingest.ListChanges(request, timeout=CALL_TIMEOUT_S)
        if not changes.number_keys:
            return False
        origins = [
            (found.traceparent, found.commit_time.ToNanoseconds())
            for found in changes.traced_submissions
        ]
        with self._telemetry.traces.continued(names.PUBLISH, names.WAIT, origins, time.time_ns()):
            self._publish_touched(before, changes)
        return True

    def _publish_touched(
        self, before: snapshot.Snapshot, changes: ingest_pb2.ListChangesResponse
    ) -> None:
        numbers = np.array(changes.number_keys, dtype=np.int64)
        as_of_ms = max(self._clock(), before.as_of_ms)  # a clock may have been set back
        judged, inputs = self._judge(numbers, as_of_ms)
        with self._lock:
            self._check_owner()
            if self._state.snapshot is not before:
                return  # a full run came between: look again from its cursor
            version = self._next_version()
            disputed = queries.disputed(self._store, as_of_ms, numbers)
            registry = self._registry(as_of_ms, np.append(numbers, 0))
            rows = compose(judged, registry, version, as_of_ms, inputs.model_version, disputed)
            changed = snapshot.moved(before, rows)
            rows = {name: column[changed] for name, column in rows.items()}
            add_reasons(self._upstream.scoring, rows, judged.risk[changed], inputs, changed)
            now_ms = self._clock()
            total = before.number_count + before.count_new(rows["number"])
            cursor = changes.next_cursor
            self._insert(LIVE, version, as_of_ms, now_ms, total, cursor, 0, rows)
            self._state.apply(rows, version, as_of_ms, now_ms, cursor)
        self._telemetry.count(names.PUBLISHED_CHANGES, len(rows["number"]), TOUCHED)
        acknowledged_ms = changes.oldest_commit_time.ToMilliseconds()
        self._telemetry.record(names.FRESHNESS, max(self._clock() - acknowledged_ms, 0) / 1000)

    def _judge(self, numbers: npt.NDArray[np.int64], as_of_ms: int) -> tuple[Judged, Inputs]:
        """What is said of touched numbers, without those that cannot be judged."""
        found, culprits = judge_apart(
            lambda some: judge_touched(self._upstream, some, as_of_ms), numbers
        )
        if len(culprits):
            log.error(
                "touched numbers cannot be judged, what is published of them stands",
                extra={"count": len(culprits)},
            )
            self._telemetry.count(names.PUBLISH_FAILURES, len(culprits), TOUCHED, "poison")
        return found or nobody()

    def _check_churn(self, found: Churn, max_churn: float | None) -> None:
        try:
            check_churn(found, self._max_churn if max_churn is None else max_churn)
        except FailedPrecondition:
            self._telemetry.count(names.PUBLISH_FAILURES, 1, RUN, "churn")
            raise

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._is_owner:
                    self.publish_changes(wait_s=0.5)
                elif not self.catch_up():
                    self._stopping.wait(FOLLOW_S)
            except grpc.RpcError as error:
                log.warning("following ingest failed, trying again", extra={"code": str(error)})
                self._telemetry.count(names.PUBLISH_FAILURES, 1, TOUCHED, "upstream")
                self._stopping.wait(1.0)
            except Exception as error:
                traced = None if isinstance(error, DomainError) else error
                log.error(
                    "publishing touched numbers failed, trying again: %s", error, exc_info=traced
                )
                self._telemetry.count(names.PUBLISH_FAILURES, 1, TOUCHED, "internal")
                self._stopping.wait(5.0)

    def _check_owner(self) -> None:
        """Accept this process as the publisher, with the state as the store has it.

        Raises:
            Unavailable: LEASE_LOST.
        """
        if not self._is_owner:
            raise lost("reputation")
        if self._is_torn:
            self._load()
            self._is_torn = False

    def _insert(self, lineage: int, version: int, *values: Any) -> None:
        self._is_torn = True  # until it is known what the store has
        queries.insert_version(self._store, self._fence, lineage, version, *values)
        self._is_torn = False

    def _registry(self, as_of_ms: int, numbers: npt.NDArray[np.int64] | None = None) -> Registry:
        names = ("number", "prefix", "identity", "purpose")
        table = in_force(self._store, ", ".join(names), as_of_ms, numbers)
        return Registry(*(table[name].to_pylist() for name in names))

    def _next_version(self) -> int:
        self._last_version += 1
        return self._last_version

    def _load(self) -> None:
        """Bring the state to the newest version of the store, from what the folder has of it."""
        known = queries.versions(self._store).to_pylist()
        # Rows of a version that was never recorded must not become part of a later one.
        self._last_version = max(
            [queries.newest_version(self._store), *(row["version"] for row in known)]
        )
        live = [row for row in known if row["lineage"] == LIVE]
        held = self._state.snapshot
        if not live:
            self._state.replace([], Mark())
            return
        newest = _mark(live[-1])
        if any(_mark(row) == _mark_of(held) for row in live):
            if newest.version > held.version:
                self._advance(held.version, newest)
            return
        log.info("the published state is read from the store")
        parts = [
            table.of_columns(queries.state_at(self._store, LIVE, newest.version, start, end))
            for start, end in queries.number_ranges(self._store, LIVE, READ_AT_ONCE)
        ]
        self._state.replace(parts, newest)

    def _advance(self, since: int, to: Mark) -> None:
        rows = queries.rows_since(self._store, LIVE, since, to.version)
        self._state.apply(rows, to.version, to.as_of_ms, to.publish_ms, to.change_cursor)


def _mark(row: dict[str, Any]) -> Mark:
    """A row of versions; the count of numbers stands apart, it is not compared."""
    return Mark(row["version"], row["as_of_ms"], row["publish_ms"], row["change_cursor"])


def _mark_of(held: snapshot.Snapshot) -> Mark:
    return Mark(held.version, held.as_of_ms, held.publish_ms, held.change_cursor)

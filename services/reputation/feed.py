"""The feed: filtered states of what is published, their digests, snapshots and updates."""

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from services.common.clock import Clock
from services.common.errors import FailedPrecondition, NotFound, ResourceExhausted
from services.common.feed import files
from services.common.feed.head import Head, make_version, read_version
from services.common.feed.rows import Digest, Rows, updated
from services.common.feed.signing import Signer
from services.reputation.filters import COLUMNS, Filter, to_rows
from services.reputation.snapshot import Snapshot, changed_since, flatten
from services.reputation.state import PublishedState

FILTERS_KEPT = 16
UPDATES_KEPT = 64
DIGESTS_KEPT = 10_000
SNAPSHOTS_KEPT = 4
SNAPSHOT_AGE_MS = 10 * 60_000
"""A younger snapshot is handed out as it is, as long as updates lead on from it."""
KEEP_FILE_MS = 60 * 60_000
"""So long a download may be resumed after a newer snapshot took its place."""
RESET_SHARE = 0.3
"""Where more of the state changed, a snapshot is smaller than the updates."""
RESET_ROWS = 100_000
WATCHER_RETRY_S = 2
MAX_WATCHERS = 8
"""Each holds one of the server's threads."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class FeedState:
    """One filtered state of the feed, and the published snapshot that it is made from."""

    rows: Rows
    digest: Digest
    head: Head
    source: Snapshot


@dataclass(frozen=True)
class SnapshotFile:
    """A snapshot on disk."""

    snapshot_id: str
    head: Head
    size_bytes: int
    sha256: bytes
    made_ms: int


@dataclass(frozen=True)
class Change:
    """What leads from one version to the state of `head`."""

    head: Head
    reset: bool
    removals: bytes = b""
    additions: bytes = b""


class Feed:
    """Answers bulk consumers; follows the published state when it is asked."""

    def __init__(
        self, published: PublishedState, signer: Signer, folder: Path, clock: Clock
    ) -> None:
        self._published, self.signer, self._folder, self._clock = published, signer, folder, clock
        self._lock = threading.Lock()
        self._states: OrderedDict[Filter, FeedState] = OrderedDict()
        self._changes: OrderedDict[tuple[int, str], Change] = OrderedDict()
        self._digests: OrderedDict[str, str] = OrderedDict()
        self._snapshots: OrderedDict[Filter, SnapshotFile] = OrderedDict()
        self._building = threading.Lock()
        self._watchers = threading.BoundedSemaphore(MAX_WATCHERS)
        self._stopping = threading.Event()

    @property
    def newest_version(self) -> int:
        """The newest published version."""
        return self._published.snapshot.version

    def state(self, chosen: Filter) -> FeedState:
        """The newest state behind a filter."""
        with self._lock:
            return self._state(chosen)

    def _state(self, chosen: Filter) -> FeedState:
        source = self._published.snapshot
        before = self._states.get(chosen)
        if before is not None and before.source is source:
            self._states.move_to_end(chosen)
            return before
        if before is None:
            rows, shown = to_rows(flatten(source, COLUMNS))
            rows = rows[shown & chosen.keeps(rows)]
            digest = Digest.of(rows)
        else:
            changed, shown = to_rows(changed_since(source, before.source.version, COLUMNS))
            kept = shown & chosen.keeps(changed)
            rows = updated(before.rows, changed["number"][~kept], changed[kept])
            digest = before.digest.updated(rows, changed["number"])
        head = Head(
            version=make_version(source.version, chosen.text),
            filter=chosen.text,
            row_count=len(rows),
            state_sha256=digest.sha256.hex(),
            publish_time_ms=source.publish_ms,
        )
        _keep(self._digests, head.version, head.state_sha256, DIGESTS_KEPT)
        return _keep(self._states, chosen, FeedState(rows, digest, head, source), FILTERS_KEPT)

    def changes(self, version: str, chosen: Filter) -> Change:
        """What leads from an opaque version to the newest state.

        Raises:
            InvalidArgument: FEED_VERSION_INVALID.
        """
        since = read_version(version, chosen.text)
        with self._lock:
            now = self._state(chosen)
            if since is None or since > now.source.version:
                return Change(now.head, reset=True)
            known = self._changes.get((since, now.head.version))
            if known is not None:
                return known
            rows, shown = to_rows(changed_since(now.source, since, COLUMNS))
        if len(rows) > max(RESET_ROWS, RESET_SHARE * len(now.rows)):
            return Change(now.head, reset=True)
        kept = shown & chosen.keeps(rows)
        change = Change(
            now.head,
            reset=False,
            removals=files.pack_numbers(rows["number"][~kept]) if not kept.all() else b"",
            additions=files.pack_rows(rows[kept]) if kept.any() else b"",
        )
        with self._lock:
            return _keep(self._changes, (since, now.head.version), change, UPDATES_KEPT)

    def snapshot(self, chosen: Filter) -> SnapshotFile:
        """A snapshot of the newest state or of one some minutes old, written if need be."""
        with self._building:
            now_ms = self._clock()
            known = self._snapshots.get(chosen)
            if (
                known is not None
                and now_ms - known.made_ms < SNAPSHOT_AGE_MS
                and not self.changes(known.head.version, chosen).reset
            ):
                return known
            made = self._write(self.state(chosen), now_ms)
            _keep(self._snapshots, chosen, made, SNAPSHOTS_KEPT)
            self._remove_old_files()
            return made

    def _write(self, now: FeedState, now_ms: int) -> SnapshotFile:
        self._folder.mkdir(parents=True, exist_ok=True)
        snapshot_id = now.head.state_sha256
        path, part = self._path(snapshot_id), self._folder / f"{snapshot_id}.part"
        files.write_rows(now.rows, str(part))
        with part.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").digest()
            os.fsync(file.fileno())
        part.replace(path)
        return SnapshotFile(snapshot_id, now.head, path.stat().st_size, sha256, now_ms)

    def _path(self, snapshot_id: str) -> Path:
        return self._folder / f"{snapshot_id}.parquet"

    def _remove_old_files(self) -> None:
        offered = {self._path(made.snapshot_id) for made in self._snapshots.values()}
        oldest_s = time.time() - KEEP_FILE_MS / 1000  # file times are the host's, not our clock's
        for path in self._folder.glob("*.par*"):  # also parts that a killed process left
            if path not in offered and path.stat().st_mtime < oldest_s:
                path.unlink(missing_ok=True)

    def open_snapshot(self, snapshot_id: str) -> Path:
        """The file of a snapshot.

        Raises:
            NotFound: SNAPSHOT_NOT_FOUND.
        """
        is_name = len(snapshot_id) == 64 and set(snapshot_id) <= set("0123456789abcdef")
        if not is_name or not self._path(snapshot_id).exists():
            raise NotFound(
                "SNAPSHOT_NOT_FOUND",
                "no snapshot of that name is kept; ask for a new one",
                snapshot=snapshot_id[:64],
            )
        return self._path(snapshot_id)

    def check_applied(self, version: str, chosen: Filter, sha256: bytes) -> int:
        """The published version that a consumer has applied.

        Raises:
            InvalidArgument: FEED_VERSION_INVALID.
            FailedPrecondition: FEED_DIGEST_MISMATCH.
        """
        number = read_version(version, chosen.text)
        known = self._digests.get(version)
        future = number is None or number > self.newest_version
        if future or (known is not None and known != sha256.hex()):
            raise FailedPrecondition(
                "FEED_DIGEST_MISMATCH",
                "that state was never published here; begin anew with a snapshot",
                version=version,
                expected=known or "",
                found=sha256.hex(),
            )
        assert number is not None
        return number

    def watch(self, until: Callable[[], bool]) -> "Watch":
        """A place among the standing feeds; `until` tells whether the consumer is gone.

        Raises:
            ResourceExhausted: WATCHER_LIMIT.
        """
        if not self._watchers.acquire(blocking=False):
            raise ResourceExhausted(
                "WATCHER_LIMIT",
                f"{MAX_WATCHERS} consumers watch already; poll ListUpdates instead",
                maximum=MAX_WATCHERS,
                retry_after_s=WATCHER_RETRY_S,
            )
        return Watch(self._published, self._watchers, lambda: self._stopping.is_set() or until())

    def stop(self) -> None:
        """End all standing feeds."""
        self._stopping.set()


class Watch:
    """A standing feed's place; to be left by `with`."""

    def __init__(
        self,
        published: PublishedState,
        place: threading.BoundedSemaphore,
        ended: Callable[[], bool],
    ) -> None:
        self._published, self._place, self._ended = published, place, ended

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self._place.release()

    def wait_newer(self, version: int) -> bool:
        """Wait for a newer version; False at the end of the feed."""
        while not self._ended():
            if self._published.wait_newer(version, timeout_s=0.25):
                return True
        return False


def _keep(kept: "OrderedDict[K, V]", key: K, value: V, limit: int) -> V:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > limit:
        kept.popitem(last=False)
    return value

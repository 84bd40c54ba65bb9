"""Keeps a copy equal to the feed: a snapshot once, then what changed, every step verified."""

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import numpy as np
from google.protobuf import json_format

from services.common import rpc
from services.common.errors import DomainError, FailedPrecondition
from services.common.feed import files
from services.common.feed.head import Head, filter_text
from services.common.feed.rows import EMPTY, Digest, Rows, updated
from services.common.feed.signing import key_id, verify
from services.consumer.copy import Copy, Folder, check, check_filter
from zhengming.reputation.v1 import feed_pb2 as pb
from zhengming.reputation.v1 import feed_pb2_grpc as pb_grpc

CALL_TIMEOUT_S = 300
ATTEMPTS = 5
RETRY_S = 0.5
RECONNECT_S = 2.0
PASSING = (*rpc.NOT_BEGUN, grpc.StatusCode.RESOURCE_EXHAUSTED)
"""What another try may mend."""
NO_NUMBERS = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Progress:
    """What a synchronisation did.

    Attributes:
        version, rows, state_sha256: of the copy now.
        removed, added: rows of updates applied; added counts changed rows too.
        downloaded_bytes: of snapshot and updates.
        resumed_at: bytes of the snapshot that an earlier run had fetched.
        from_snapshot: whether the copy was begun anew, and
        because: why, where there was one before.
        key_id: of the key that signed.
        first_contact: the key was taken on trust now.
    """

    version: str = ""
    rows: int = 0
    state_sha256: str = ""
    removed: int = 0
    added: int = 0
    downloaded_bytes: int = 0
    resumed_at: int = 0
    from_snapshot: bool = False
    because: str = ""
    key_id: str = ""
    first_contact: bool = False


def pause_s(
    error: grpc.RpcError, otherwise_s: float, chance: Callable[[], float] = random.random
) -> float:
    """How long to wait before another try: as the server asks, else by chance around a time.

    Consumers that lost a server together do not come back to it together.
    """
    asked_s = rpc.retry_delay_s(error)
    return otherwise_s * (0.5 + chance()) if asked_s is None else asked_s


class Consumer:
    """One consumer and its folder.

    Args:
        channel: to a server of FeedService.
        folder: where the copy is.
        name: under which receipts are reported; "" reports none.
        chosen: what to keep; None: as the copy that is there, or everything.
        public_key: 32 bytes to trust; None: the one pinned, or at first contact the server's.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        folder: Path,
        name: str = "",
        chosen: pb.FeedFilter | None = None,
        public_key: bytes | None = None,
    ) -> None:
        self._stub, self._folder = pb_grpc.FeedServiceStub(channel), Folder(folder)
        self._name, self._given_key = name, public_key
        kept = self._folder.filter_json()
        if chosen is None:
            chosen = json_format.Parse(kept or "{}", pb.FeedFilter())
        self._filter = chosen
        self._filter_text = filter_text(
            chosen.calling_codes, chosen.minimum_level, chosen.category_groups
        )
        self._filter_json = json_format.MessageToJson(chosen, indent=None, sort_keys=True)
        self._key = b""
        self._progress = Progress()

    def catch_up(self) -> tuple[Copy, Progress]:
        """Bring the copy to the newest version.

        Whatever fails, the last good copy stays as it was.

        Raises:
            DomainError: FEED_SIGNATURE_INVALID, FEED_FILTER_MISMATCH, FEED_DIGEST_MISMATCH, and
                what the server answers.
            grpc.RpcError: a call failed without a typed error.
        """
        self._progress = Progress()
        self._trust()
        copy, damage = self._folder.try_load()
        if copy is not None and copy.filter_json != self._filter_json:
            copy, damage = None, "another filter was chosen"
        if copy is None:
            copy = self._begin(damage)
        request = pb.ListUpdatesRequest(version=copy.head.version, filter=self._filter)
        copy = self._advance(copy, self._stub.ListUpdates(request, timeout=CALL_TIMEOUT_S))
        self._keep(copy)
        return copy, self._told(copy)

    def follow(self) -> Iterator[tuple[Copy, Progress]]:
        """The copy after each published change, for as long as it is asked for.

        Where the standing feed ends or has no place, the consumer catches up and tries again; a
        server that goes away is waited for. Raises as `catch_up` does, at first contact also
        where no server answers.
        """
        copy, progress = self.catch_up()
        yield copy, progress
        while True:
            try:
                request = pb.WatchUpdatesRequest(version=copy.head.version, filter=self._filter)
                for updates in self._stub.WatchUpdates(request):
                    self._progress = Progress()
                    copy = self._advance(copy, updates)
                    self._keep(copy)
                    yield copy, self._told(copy)
                    if updates.reset:
                        break
            except grpc.RpcError as error:
                if error.code() not in PASSING:
                    raise
                time.sleep(pause_s(error, RECONNECT_S))
            try:
                copy, progress = self.catch_up()
                yield copy, progress
            except grpc.RpcError as error:
                if error.code() not in PASSING:
                    raise

    def _trust(self) -> None:
        self._key = self._given_key or self._folder.trusted_key() or b""
        if not self._key:
            request = pb.GetFeedKeyRequest()
            self._key = self._stub.GetFeedKey(request, timeout=CALL_TIMEOUT_S).public_key
            self._progress = replace(self._progress, first_contact=True)

    def _advance(self, copy: Copy, updates: pb.Updates) -> Copy:
        if updates.reset:
            return self._begin("the server asks to begin anew")
        head = verify(self._key, updates.head.head, updates.head.signature)
        try:
            check_filter(head, self._filter_text)
            removals = files.read_numbers(updates.removals) if updates.removals else NO_NUMBERS
            additions = files.read_rows(updates.additions) if updates.additions else EMPTY
            rows = updated(copy.rows, removals, additions)
            digest = copy.digest.updated(rows, np.append(removals, additions["number"]))
            check(head, rows, digest)
        except DomainError as error:
            return self._begin(str(error))
        self._progress = replace(
            self._progress,
            removed=self._progress.removed + len(removals),
            added=self._progress.added + len(additions),
            downloaded_bytes=self._progress.downloaded_bytes + updates.ByteSize(),
        )
        return self._copy(head, updates.head, rows, digest)

    def _begin(self, because: str) -> Copy:
        request = pb.GetSnapshotRequest(filter=self._filter)
        offered = self._stub.GetSnapshot(request, timeout=CALL_TIMEOUT_S)
        head = verify(self._key, offered.head.head, offered.head.signature)
        check_filter(head, self._filter_text)
        part = self._download(offered, head)
        rows = files.read_rows(str(part))
        digest = Digest.of(rows)
        part.unlink()
        check(head, rows, digest)
        self._progress = replace(self._progress, from_snapshot=True, because=because)
        return self._copy(head, offered.head, rows, digest)

    def _copy(self, head: Head, signed: pb.SignedHead, rows: Rows, digest: Digest) -> Copy:
        return Copy(head, signed.head, signed.signature, self._key, self._filter_json, rows, digest)

    def _download(self, offered: pb.Snapshot, head: Head) -> Path:
        self._folder.path.mkdir(parents=True, exist_ok=True)
        part = self._folder.path / f"download-{offered.file_sha256.hex()}.part"
        for other in self._folder.path.glob("download-*.part"):
            if other != part:
                other.unlink()
        have = part.stat().st_size if part.exists() else 0
        if have > offered.size_bytes:
            part.unlink()
            have = 0
        self._progress = replace(self._progress, resumed_at=have)
        for attempt in range(ATTEMPTS):
            try:
                self._fetch(offered, part)
                break
            except grpc.RpcError as error:
                if error.code() not in PASSING or attempt == ATTEMPTS - 1:
                    raise
                time.sleep(pause_s(error, RETRY_S * 2**attempt))
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").digest()
        if found != offered.file_sha256:
            part.unlink()
            raise FailedPrecondition(
                "FEED_DIGEST_MISMATCH",
                "the snapshot's file came damaged; run again",
                version=head.version,
                expected=offered.file_sha256.hex(),
                found=found.hex(),
            )
        return part

    def _fetch(self, offered: pb.Snapshot, part: Path) -> None:
        with part.open("ab") as file:
            request = pb.DownloadSnapshotRequest(
                snapshot_id=offered.snapshot_id, offset=file.tell()
            )
            for piece in self._stub.DownloadSnapshot(request, timeout=CALL_TIMEOUT_S):
                file.write(piece.chunk)
                self._progress = replace(
                    self._progress,
                    downloaded_bytes=self._progress.downloaded_bytes + len(piece.chunk),
                )

    def _keep(self, copy: Copy) -> None:
        self._folder.keep(copy)
        if self._name:
            self._stub.ReportApplied(
                pb.ReportAppliedRequest(
                    consumer=self._name,
                    version=copy.head.version,
                    state_sha256=copy.digest.sha256,
                    filter=self._filter,
                ),
                timeout=CALL_TIMEOUT_S,
            )

    def _told(self, copy: Copy) -> Progress:
        return replace(
            self._progress,
            version=copy.head.version,
            rows=len(copy.rows),
            state_sha256=copy.head.state_sha256,
            key_id=key_id(self._key),
        )

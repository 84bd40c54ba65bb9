"""zhengming.reputation.v1.FeedService over gRPC."""

import re
import threading
from collections.abc import Callable, Iterator

import grpc

from services.common.clock import Clock
from services.common.errors import InvalidArgument, out_of_range
from services.common.feed.head import Head, read_version
from services.common.numbering import parse
from services.common.store import Store
from services.common.times import checked_ms
from services.reputation import queries
from services.reputation.feed import Change, Feed
from services.reputation.filters import Filter, make_filter
from zhengming.reputation.v1 import feed_pb2 as pb
from zhengming.reputation.v1 import feed_pb2_grpc as pb_grpc

CHUNK_BYTES = 1 << 20
MINIMUM_WAIT_S = 2.0
WAIT_JITTER = 0.5
"""Waits are MINIMUM_WAIT_S and up to so much of it more."""
WATCH_PAUSE_S = 0.5
_CONSUMER = re.compile(r"[A-Za-z0-9._-]{1,64}")


class FeedServicer(pb_grpc.FeedServiceServicer):
    """Snapshots, updates and receipts."""

    def __init__(
        self, store: Store, feed: Feed, clock: Clock, random_share: Callable[[], float]
    ) -> None:
        self._store, self._feed, self._clock = store, feed, clock
        self._random_share = random_share
        self._writing = threading.Lock()

    def GetSnapshot(
        self, request: pb.GetSnapshotRequest, context: grpc.ServicerContext
    ) -> pb.Snapshot:
        """Describe the snapshot to begin with."""
        made = self._feed.snapshot(_filter(request.filter))
        return pb.Snapshot(
            head=self._sign(made.head),
            snapshot_id=made.snapshot_id,
            size_bytes=made.size_bytes,
            file_sha256=made.sha256,
        )

    def DownloadSnapshot(
        self, request: pb.DownloadSnapshotRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.DownloadSnapshotResponse]:
        """Send a snapshot's bytes."""
        path = self._feed.open_snapshot(request.snapshot_id)
        size, offset = path.stat().st_size, request.offset
        if not 0 <= offset <= size:
            raise out_of_range("offset", offset, f"0 to {size}")
        with path.open("rb") as file:
            file.seek(offset)
            while chunk := file.read(CHUNK_BYTES):
                yield pb.DownloadSnapshotResponse(offset=offset, chunk=chunk)
                offset += len(chunk)

    def ListUpdates(
        self, request: pb.ListUpdatesRequest, context: grpc.ServicerContext
    ) -> pb.Updates:
        """Say what changed since a version."""
        return self._updates(self._feed.changes(request.version, _filter(request.filter)))

    def WatchUpdates(
        self, request: pb.WatchUpdatesRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.Updates]:
        """Say what changes, as it does."""
        chosen, version = _filter(request.filter), request.version
        at = read_version(version, chosen.text)
        gone = threading.Event()
        context.add_callback(gone.set)
        with self._feed.watch(gone.is_set) as place:
            while at is None or place.wait_newer(at):
                change = self._feed.changes(version, chosen)
                yield self._updates(change)
                if change.reset:
                    return
                version = change.head.version
                at = read_version(version, chosen.text)
                gone.wait(WATCH_PAUSE_S)

    def ReportApplied(
        self, request: pb.ReportAppliedRequest, context: grpc.ServicerContext
    ) -> pb.ReportAppliedResponse:
        """Keep a receipt."""
        if not _CONSUMER.fullmatch(request.consumer):
            raise out_of_range(
                "consumer", repr(request.consumer[:64]), "1 to 64 letters, digits and ._-"
            )
        chosen = _filter(request.filter)
        version = self._feed.check_applied(request.version, chosen, request.state_sha256)
        with self._writing:
            queries.insert_receipt(
                self._store, request.consumer, version, chosen.text, self._clock()
            )
        return pb.ReportAppliedResponse(versions_behind=self._feed.newest_version - version)

    def ListConsumers(
        self, request: pb.ListConsumersRequest, context: grpc.ServicerContext
    ) -> pb.ListConsumersResponse:
        """Say who has what."""
        newest = self._feed.newest_version
        answer = pb.ListConsumersResponse(version=newest)
        for row in queries.consumers(self._store).to_pylist():
            consumer = answer.consumers.add(
                consumer=row["consumer"],
                version=row["applied"],
                versions_behind=max(newest - row["applied"], 0),
                filter=row["kept"],
            )
            consumer.receipt_time.FromMilliseconds(row["last_ms"])
        return answer

    def GetPropagation(
        self, request: pb.GetPropagationRequest, context: grpc.ServicerContext
    ) -> pb.Propagation:
        """Say which consumers have a change."""
        if not request.HasField("since_time"):
            raise InvalidArgument("FIELD_REQUIRED", "since_time is missing", field="since_time")
        key = parse(request.number).key
        since_ms = checked_ms(request.since_time, "since_time")
        version, publish_ms = queries.change_after(self._store, key, since_ms)
        answer = pb.Propagation(version=version)
        if not version:
            return answer
        answer.publish_time.FromMilliseconds(publish_ms)
        for row in queries.arrivals(self._store, version).to_pylist():
            arrival = answer.arrivals.add(consumer=row["consumer"], filter=row["kept"])
            if row["receipts"]:
                arrival.receipt_time.FromMilliseconds(row["first_ms"])
        return answer

    def GetFeedKey(
        self, request: pb.GetFeedKeyRequest, context: grpc.ServicerContext
    ) -> pb.FeedKey:
        """Give the public key."""
        signer = self._feed.signer
        return pb.FeedKey(public_key=signer.public_key, key_id=signer.key_id)

    def _sign(self, head: Head) -> pb.SignedHead:
        content, signer = head.to_bytes(), self._feed.signer
        return pb.SignedHead(head=content, signature=signer.sign(content), key_id=signer.key_id)

    def _updates(self, change: Change) -> pb.Updates:
        answer = pb.Updates(
            head=self._sign(change.head),
            reset=change.reset,
            removals=change.removals,
            additions=change.additions,
        )
        wait_s = MINIMUM_WAIT_S * (1 + WAIT_JITTER * self._random_share())
        answer.minimum_wait.FromMilliseconds(int(wait_s * 1000))
        return answer


def _filter(asked: pb.FeedFilter) -> Filter:
    return make_filter(list(asked.calling_codes), asked.minimum_level, list(asked.category_groups))


def register(server: grpc.Server, servicer: FeedServicer) -> None:
    """Add the service to a server."""
    pb_grpc.add_FeedServiceServicer_to_server(servicer, server)

"""Consumers through random histories: restarts, expiries, cut and spoilt answers, real channels."""

import tempfile
from pathlib import Path

import grpc
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.common import rpc
from services.common.errors import DomainError, FailedPrecondition
from services.common.feed.rows import Digest
from services.common.feed.signing import Signer
from services.consumer.copy import Folder
from services.consumer.sync import Consumer
from services.reputation import feed_server
from services.reputation.feed import Feed
from services.reputation.feed_server import FeedServicer
from services.reputation.filters import Filter, to_rows
from services.reputation.snapshot import flatten
from services.reputation.state import PublishedState
from tests.published_rows import key, published
from zhengming.reputation.v1 import feed_pb2 as pb

NOTHING, ESTABLISHED, PROTECTED = 2, 3, 8
CHOSEN = {
    "all": (pb.FeedFilter(), Filter()),
    "grave": (pb.FeedFilter(minimum_level=2), Filter(minimum_level=2)),
}
FAULTS = ("", "cut", "spoilt", "swapped", "no additions", "no removals", "replayed")
REFUSED = {"spoilt": "FEED_DIGEST_MISMATCH", "swapped": "FEED_FILTER_MISMATCH"}

numbers = st.sampled_from([key(8613800138000 + i) for i in range(12)])
values = st.tuples(
    st.sampled_from([1100, 3101, 4100]),
    st.integers(0, 4),
    st.sampled_from([ESTABLISHED, PROTECTED]),
    st.integers(0, 60),
)


class Network(FeedServicer):
    """The service, with what a network or a host may do to one of its answers."""

    fault = ""
    earlier: pb.Updates | None = None

    def GetSnapshot(self, request, context):
        if self.fault == "swapped":
            self.fault = ""
            request.filter.minimum_level = 2 - request.filter.minimum_level
        return super().GetSnapshot(request, context)

    def DownloadSnapshot(self, request, context):
        for piece in super().DownloadSnapshot(request, context):
            if self.fault == "cut":
                self.fault = ""
                yield pb.DownloadSnapshotResponse(
                    offset=piece.offset, chunk=piece.chunk[: len(piece.chunk) // 2]
                )
                context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
            if self.fault == "spoilt":
                self.fault = ""
                spoilt = bytearray(piece.chunk)
                spoilt[len(spoilt) // 2] ^= 1
                piece = pb.DownloadSnapshotResponse(offset=piece.offset, chunk=bytes(spoilt))
            yield piece

    def ListUpdates(self, request, context):
        answer = super().ListUpdates(request, context)
        earlier, self.earlier = self.earlier, pb.Updates.FromString(answer.SerializeToString())
        if self.fault == "no additions":
            self.fault = ""
            answer.additions = b""
        elif self.fault == "no removals":
            self.fault = ""
            answer.removals = b""
        elif self.fault == "replayed" and earlier is not None:
            self.fault = ""
            return earlier
        return answer


class Histories(RuleBasedStateMachine):
    """A server that publishes, and two consumers that keep copies."""

    @initialize()
    def begin(self):
        self.root = tempfile.TemporaryDirectory()
        self.folder = Path(self.root.name)
        self.version, self.shown = 0, {}
        self.issued = {name: set() for name in CHOSEN}
        self._start()
        self.publish({key(8613800138000): (3101, 2, ESTABLISHED, 1)})

    def _start(self):
        self.state = PublishedState(self.folder / "published")
        self.feed = Feed(
            self.state, Signer(bytes(32)), self.folder / "snapshots", lambda: self.version
        )
        self.service = Network(None, self.feed, lambda: 0, lambda: 0.0)  # receipts need a store
        self.server = rpc.start(
            [lambda s: feed_server.register(s, self.service)], [rpc.Door("127.0.0.1:0")]
        )

    def _stop(self):
        self.server.stop(0)
        self.state.close()

    def _copy(self, name):
        return Folder(self.folder / f"copy-{name}")

    @rule(rows=st.dictionaries(numbers, values, min_size=1, max_size=8))
    def publish(self, rows):
        """A version with changed numbers."""
        self.version += 1
        self.shown.update(rows)
        self.state.apply(
            published(rows, self.version), self.version, self.version, self.version, "c"
        )
        for name, (_, chosen) in CHOSEN.items():
            self.issued[name].add(self.feed.state(chosen).head.state_sha256)

    @precondition(lambda self: self.shown)
    @rule(data=st.data())
    def expire(self, data):
        """A version in which the marks of some numbers have aged to nothing."""
        gone = data.draw(st.sets(st.sampled_from(sorted(self.shown)), min_size=1))
        self.publish(dict.fromkeys(gone, (0, 0, NOTHING, 0)))

    @rule()
    def restart(self):
        """The server ends and comes back from its folder."""
        before = {n: self.feed.state(c).head.state_sha256 for n, (_, c) in CHOSEN.items()}
        self._stop()
        self._start()
        after = {n: self.feed.state(c).head.state_sha256 for n, (_, c) in CHOSEN.items()}
        assert after == before

    @rule(name=st.sampled_from(sorted(CHOSEN)), fault=st.sampled_from(FAULTS))
    def synchronise(self, name, fault):
        """A consumer comes, and the network may do something to it; then it comes undisturbed."""
        asked, chosen = CHOSEN[name]
        for self.service.fault in (fault, ""):
            with rpc.connect(f"127.0.0.1:{self.server.port}") as channel:
                consumer = Consumer(channel, self._copy(name).path, chosen=asked)
                try:
                    copy, _ = consumer.catch_up()
                except DomainError as error:
                    assert error.reason == REFUSED[fault]
                    copy = None
                else:
                    assert copy.head.state_sha256 in self.issued[name]
                    assert Digest.of(copy.rows).sha256.hex() == copy.head.state_sha256
            self.service.fault = ""
        assert copy is not None
        rows, shown = to_rows(flatten(self.state.snapshot))
        expected = rows[shown & chosen.keeps(rows)]
        assert copy.rows.tobytes() == expected.tobytes()
        assert Digest.of(copy.rows).sha256.hex() == self.feed.state(chosen).head.state_sha256
        for row in copy.rows:
            found = self.state.snapshot.find(int(row["number"]))
            assert (found[2], found[7], found[8]) == (row["category"], row["level"], row["state"])
        assert set(copy.rows["number"].tolist()) <= set(self.shown)

    @rule(name=st.sampled_from(sorted(CHOSEN)), at=st.floats(0, 1))
    def lose_power(self, name, at):
        """The consumer's disk has a file cut at some place."""
        files = sorted(self._copy(name).path.glob("*")) if self._copy(name).path.exists() else []
        for path in files[:1]:
            content = path.read_bytes()
            path.write_bytes(content[: int(len(content) * at)])

    @invariant()
    def a_copy_is_a_state_that_the_server_had(self):
        """Or it is known to be damaged."""
        for name in CHOSEN if hasattr(self, "issued") else ():
            copy, _ = self._copy(name).try_load()
            if copy is not None:
                assert copy.head.state_sha256 in self.issued[name]
                assert Digest.of(copy.rows).sha256.hex() == copy.head.state_sha256
                assert np.all(np.diff(copy.rows["number"]) > 0)

    def teardown(self):
        if hasattr(self, "server"):
            self._stop()
            self.root.cleanup()


def test_updates_for_another_filter_are_not_taken():
    histories, nothing = Histories(), (0, 0, NOTHING, 0)
    histories.begin()
    for name in ("all", "grave"):
        histories.synchronise(name=name, fault="")
    histories.publish(rows=dict.fromkeys(histories.shown, nothing))

    histories.synchronise(name="all", fault="replayed")

    histories.teardown()


def test_a_snapshot_of_another_filter_is_refused_by_name():
    histories = Histories()
    histories.begin()
    histories.service.fault = "swapped"

    with rpc.connect(f"127.0.0.1:{histories.server.port}") as channel:
        consumer = Consumer(channel, histories._copy("all").path)
        with pytest.raises(FailedPrecondition, match=r"'level>=2'; 'all' was asked for") as refused:
            consumer.catch_up()

    assert refused.value.reason == "FEED_FILTER_MISMATCH"
    assert histories._copy("all").try_load() == (None, "")
    histories.teardown()


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr("services.consumer.sync.RETRY_S", 0.01)


@pytest.mark.usefixtures("_soon")
class TestHistories(Histories.TestCase):
    """Run by pytest."""

    settings = settings(max_examples=25, stateful_step_count=20, deadline=None)

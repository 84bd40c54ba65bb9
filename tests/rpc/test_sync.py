"""Bulk consumers over a real channel: snapshots, updates, receipts, private and packed lookup."""

import hashlib
import itertools
import struct
import threading
import time

import grpc
import numpy as np
import pytest

from services.common import rpc
from services.common.errors import FailedPrecondition
from services.common.feed import files
from services.common.feed.rows import Digest
from services.common.feed.signing import verify
from services.consumer.copy import Folder
from services.consumer.sync import Consumer
from tests.services_in_process import in_process
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.reputation.v1 import feed_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2

DEADLINE_S = 60
E164 = 1 << 60
_digits = itertools.count(8613600000000)


@pytest.fixture
def consumer(services, tmp_path):
    with rpc.connect(services.application.address) as channel:
        yield Consumer(channel, tmp_path / "copy", name="carrier-1")


def decide(services, category, count=1):
    """Have numbers adjudicated and published; their digits."""
    digits = [next(_digits) for _ in range(count)]
    request = arbitration_pb2.SubmitDecisionsRequest()
    for number in digits:
        decision = request.decisions.add(number=f"+{number}", category=category)
        decision.decided_time.FromMilliseconds(services.clock.now_ms)
    services.stubs.arbitration.SubmitDecisions(request)
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    ask = reputation_pb2.BatchGetReputationsRequest(numbers=[f"+{n}" for n in digits])
    while time.monotonic() < until:
        answer = services.stubs.reputation.BatchGetReputations(ask)
        if all(r.reputation.category == category for r in answer.results):
            return digits
        pause.wait(0.02)
    raise AssertionError("never published")


def category_in(copy, digits):
    row = copy.find(E164 | digits)
    return None if row is None else int(row["category"][0])


def test_a_consumer_gets_a_snapshot_and_then_what_changed(services, consumer):
    (first,) = decide(services, "A3101")
    copy, begun = consumer.catch_up()
    (second,) = decide(services, "A1100")

    later, followed = consumer.catch_up()

    assert begun.from_snapshot
    assert begun.first_contact
    assert category_in(copy, first) == 3101
    assert not followed.from_snapshot
    assert followed.added == 1
    assert category_in(later, second) == 1100


def test_the_copy_on_disk_is_the_state_that_the_server_has(services, consumer, tmp_path):
    decide(services, "A3101", 20)
    consumer.catch_up()
    (cleared,) = decide(services, "A3101")
    consumer.catch_up()

    copy = Folder(tmp_path / "copy").load()

    request = pb.ListUpdatesRequest(version=copy.head.version)
    updates = services.stubs.feed.ListUpdates(request)
    key = services.stubs.feed.GetFeedKey(pb.GetFeedKeyRequest()).public_key
    head = verify(key, updates.head.head, updates.head.signature)
    assert Digest.of(copy.rows).sha256.hex() == head.state_sha256
    assert category_in(copy, cleared) == 3101


def test_a_damaged_copy_is_begun_anew(services, consumer, tmp_path):
    decide(services, "A3101")
    consumer.catch_up()
    (state,) = (tmp_path / "copy").glob("state-*.parquet")
    state.write_bytes(state.read_bytes()[:-20])

    _, progress = consumer.catch_up()

    assert progress.from_snapshot
    assert "no file of the feed" in progress.because


def test_a_copy_with_a_row_changed_is_begun_anew(services, consumer, tmp_path):
    decide(services, "A3101")
    copy, _ = consumer.catch_up()
    (state,) = (tmp_path / "copy").glob("state-*.parquet")
    rows = copy.rows.copy()
    rows["level"][0] ^= 1
    files.write_rows(rows, str(state))

    _, progress = consumer.catch_up()

    assert progress.from_snapshot
    assert "digest" in progress.because


def test_another_signing_key_is_refused_and_the_copy_stays(services, consumer, tmp_path):
    decide(services, "A3101")
    copy, _ = consumer.catch_up()
    with rpc.connect(services.application.address) as channel:
        doubting = Consumer(channel, tmp_path / "copy", public_key=bytes(32))

        with pytest.raises(FailedPrecondition) as caught:
            doubting.catch_up()

    assert caught.value.reason == "FEED_SIGNATURE_INVALID"
    assert Folder(tmp_path / "copy").load().head == copy.head
    assert not consumer.catch_up()[1].from_snapshot


def test_a_damaged_description_of_the_copy_begins_anew(services, consumer, tmp_path):
    decide(services, "A3101")
    consumer.catch_up()
    (tmp_path / "copy" / "current.json").write_text('{"file": 1}')

    _, progress = consumer.catch_up()

    assert progress.from_snapshot
    assert "damaged" in progress.because


def test_a_following_consumer_goes_on_after_the_server_was_away(chdb_engine, chdb_path, tmp_path):
    with in_process(chdb_path, tmp_path, "rpc_away") as first:
        address = first.application.address
        with rpc.connect(address) as channel:
            following = Consumer(channel, tmp_path / "away").follow()
            next(following)
            first.application.stop()

            with in_process(chdb_path, tmp_path, "rpc_away", first.clock, address) as again:
                (digits,) = decide(again, "A1100")
                seen = next(c for c, _ in following if category_in(c, digits) == 1100)
                following.close()

    assert Folder(tmp_path / "away").load().head == seen.head
    chdb_engine.execute("DROP DATABASE IF EXISTS rpc_away")


def test_a_download_goes_on_where_it_was_cut(services, consumer, tmp_path):
    decide(services, "A3101", 50)
    offered = services.stubs.feed.GetSnapshot(pb.GetSnapshotRequest())
    request = pb.DownloadSnapshotRequest(snapshot_id=offered.snapshot_id)
    whole = b"".join(p.chunk for p in services.stubs.feed.DownloadSnapshot(request))
    part = tmp_path / "copy" / f"download-{offered.file_sha256.hex()}.part"
    part.parent.mkdir()
    part.write_bytes(whole[:700])

    _, progress = consumer.catch_up()

    assert hashlib.sha256(whole).digest() == offered.file_sha256
    assert len(whole) == offered.size_bytes
    assert progress.resumed_at == 700
    assert not part.exists()


def test_a_download_that_was_spoilt_is_refused_and_begun_again(services, consumer, tmp_path):
    decide(services, "A3101", 50)
    offered = services.stubs.feed.GetSnapshot(pb.GetSnapshotRequest())
    part = tmp_path / "copy" / f"download-{offered.file_sha256.hex()}.part"
    part.parent.mkdir()
    part.write_bytes(bytes(700))

    with pytest.raises(FailedPrecondition, match="damaged"):
        consumer.catch_up()
    copy, _ = consumer.catch_up()

    assert len(copy.rows) == copy.head.row_count


def test_a_download_from_any_offset_is_the_rest_of_the_file(services):
    decide(services, "A3101")
    offered = services.stubs.feed.GetSnapshot(pb.GetSnapshotRequest())

    def download(offset):
        request = pb.DownloadSnapshotRequest(snapshot_id=offered.snapshot_id, offset=offset)
        return b"".join(p.chunk for p in services.stubs.feed.DownloadSnapshot(request))

    whole = download(0)
    assert [download(at) for at in (1, len(whole) - 1, len(whole))] == [
        whole[1:],
        whole[-1:],
        b"",
    ]


@pytest.mark.parametrize("offset", [-1, 1 << 40])
def test_an_offset_beyond_the_file_is_refused(services, offset):
    offered = services.stubs.feed.GetSnapshot(pb.GetSnapshotRequest())
    request = pb.DownloadSnapshotRequest(snapshot_id=offered.snapshot_id, offset=offset)

    with pytest.raises(grpc.RpcError) as caught:
        list(services.stubs.feed.DownloadSnapshot(request))

    assert rpc.to_domain_error(caught.value).metadata["field"] == "offset"


def test_a_watching_consumer_sees_a_change_and_the_feed_ends_with_it(services, tmp_path):
    decide(services, "A3101")
    with rpc.connect(services.application.address) as channel:
        following = Consumer(channel, tmp_path / "watching").follow()
        next(following)

        (digits,) = decide(services, "A1100")
        seen = next(c for c, _ in following if category_in(c, digits) == 1100)
        following.close()

    assert Folder(tmp_path / "watching").load().head == seen.head


def test_a_filter_keeps_its_part_and_is_remembered(services, tmp_path):
    (loud,) = decide(services, "A1100")
    (mild,) = decide(services, "A3101")
    with rpc.connect(services.application.address) as channel:
        chosen = pb.FeedFilter(category_groups=["A1"])
        Consumer(channel, tmp_path / "part", chosen=chosen).catch_up()

        copy, progress = Consumer(channel, tmp_path / "part").catch_up()

    assert category_in(copy, loud) == 1100
    assert category_in(copy, mild) is None
    assert copy.head.filter == "A1"
    assert not progress.from_snapshot


def test_another_filter_begins_anew(services, consumer, tmp_path):
    decide(services, "A3101")
    consumer.catch_up()
    with rpc.connect(services.application.address) as channel:
        chosen = pb.FeedFilter(minimum_level=4)
        copy, progress = Consumer(channel, tmp_path / "copy", chosen=chosen).catch_up()

    assert progress.because == "another filter was chosen"
    assert (copy.rows["level"] >= 4).all()


def test_receipts_tell_who_has_what(services, consumer):
    decide(services, "A3101")
    copy, _ = consumer.catch_up()
    version = int(copy.head.version.split("-")[0])

    found = services.stubs.feed.ListConsumers(pb.ListConsumersRequest())

    (mine,) = [c for c in found.consumers if c.consumer == "carrier-1"]
    assert mine.version == version
    assert mine.filter == "all"
    assert mine.versions_behind == found.version - version


def propagation(services, digits, since_ms):
    request = pb.GetPropagationRequest(number=f"+{digits}")
    request.since_time.FromMilliseconds(since_ms)
    return services.stubs.feed.GetPropagation(request)


def arrival_of(found, consumer):
    return next((a for a in found.arrivals if a.consumer == consumer), None)


def test_a_change_is_followed_to_each_consumer(services, consumer, tmp_path):
    with rpc.connect(services.application.address) as channel:
        Consumer(channel, tmp_path / "other", name="laggard").catch_up()
    (digits,) = decide(services, "A3101")
    consumer.catch_up()

    found = propagation(services, digits, services.clock.now_ms - 1000)

    assert found.version > 0
    assert found.publish_time.ToMilliseconds() > 0
    assert arrival_of(found, "carrier-1").HasField("receipt_time")
    assert not arrival_of(found, "laggard").HasField("receipt_time")


def test_where_nothing_changed_nothing_has_to_arrive(services, consumer):
    (digits,) = decide(services, "A3101")
    consumer.catch_up()

    found = propagation(services, digits, services.clock.now_ms + 3_600_000)

    assert found == pb.Propagation()


def test_a_change_is_asked_for_with_a_number_and_a_time(services):
    with pytest.raises(grpc.RpcError) as without_time:
        services.stubs.feed.GetPropagation(pb.GetPropagationRequest(number="+8613800138000"))
    with pytest.raises(grpc.RpcError) as without_number:
        propagation(services, "", services.clock.now_ms)

    assert rpc.to_domain_error(without_time.value).reason == "FIELD_REQUIRED"
    assert rpc.to_domain_error(without_number.value).reason.startswith("NUMBER_")


def test_a_forged_receipt_is_refused(services, consumer):
    decide(services, "A3101")
    copy, _ = consumer.catch_up()
    request = pb.ReportAppliedRequest(
        consumer="forger", version=copy.head.version, state_sha256=bytes(32)
    )

    with pytest.raises(grpc.RpcError) as caught:
        services.stubs.feed.ReportApplied(request)

    assert rpc.to_domain_error(caught.value).reason == "FEED_DIGEST_MISMATCH"


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "';--"])
def test_a_consumer_without_a_proper_name_is_refused(services, name):
    request = pb.ReportAppliedRequest(consumer=name, version="1-00000000")

    with pytest.raises(grpc.RpcError) as caught:
        services.stubs.feed.ReportApplied(request)

    assert rpc.to_domain_error(caught.value).metadata["field"] == "consumer"


@pytest.mark.parametrize("version", ["", "x", "-1-00000000", "9" * 30 + "-00000000"])
def test_a_version_that_no_server_issued_is_refused(services, version):
    for call in (
        lambda: services.stubs.feed.ListUpdates(pb.ListUpdatesRequest(version=version)),
        lambda: list(services.stubs.feed.WatchUpdates(pb.WatchUpdatesRequest(version=version))),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert rpc.to_domain_error(caught.value).reason == "FEED_VERSION_INVALID"


def test_packed_lookup_answers_in_the_order_asked(services):
    (loan,) = decide(services, "A3101")
    (fraud,) = decide(services, "A1100")
    asked = [E164 | fraud, 12345, E164 | loan]

    answer = services.stubs.reputation.LookupColumns(
        reputation_pb2.LookupColumnsRequest(number_keys=struct.pack("<3q", *asked))
    )

    values = struct.iter_unpack("<HBBBBH", answer.values)
    assert [value[0] for value in values] == [1100, 0, 3101]
    assert answer.version > 0


@pytest.mark.parametrize(
    ("keys", "reason"), [(b"", "BATCH_SIZE_INVALID"), (b"1234567", "FIELD_OUT_OF_RANGE")]
)
def test_packed_lookup_refuses_what_is_no_array(services, keys, reason):
    with pytest.raises(grpc.RpcError) as caught:
        services.stubs.reputation.LookupColumns(
            reputation_pb2.LookupColumnsRequest(number_keys=keys)
        )

    assert rpc.to_domain_error(caught.value).reason == reason


def test_private_lookup_finds_a_number_in_its_bucket(services):
    (fraud,) = decide(services, "A1100")
    wanted = hashlib.sha256(f"+{fraud}".encode()).digest()

    answer = services.stubs.reputation.SearchHashPrefix(
        reputation_pb2.SearchHashPrefixRequest(hash_prefix=wanted[:2])
    )

    (value,) = [entry.value for entry in answer.entries if entry.hash == wanted]
    assert struct.unpack("<HBBBBH", value)[0] == 1100
    assert answer.ByteSize() % 4096 == 0


def test_an_empty_bucket_looks_like_a_full_one(services):
    answer = services.stubs.reputation.SearchHashPrefix(
        reputation_pb2.SearchHashPrefixRequest(hash_prefix=bytes(32))
    )

    assert not answer.entries
    assert answer.ByteSize() % 4096 == 0


@pytest.mark.parametrize("prefix", [b"", b"1", bytes(33)])
def test_a_prefix_of_the_wrong_length_is_refused(services, prefix):
    with pytest.raises(grpc.RpcError) as caught:
        services.stubs.reputation.SearchHashPrefix(
            reputation_pb2.SearchHashPrefixRequest(hash_prefix=prefix)
        )

    assert rpc.to_domain_error(caught.value).metadata["field"] == "hash_prefix"


def test_a_copy_is_read_by_the_store_as_a_table(services, consumer, tmp_path):
    decide(services, "A3101", 5)
    copy, _ = consumer.catch_up()
    (path,) = (tmp_path / "copy").glob("state-*.parquet")

    found = services.store.query(
        f"SELECT count() AS n, sum(category) AS total FROM file('{path}', Parquet)"
    )

    assert found["n"][0].as_py() == len(copy.rows)
    assert found["total"][0].as_py() == int(copy.rows["category"].astype(np.int64).sum())

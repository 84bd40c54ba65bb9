"""The feed over random histories: whoever applies updates has what the server publishes."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import FailedPrecondition, InvalidArgument, NotFound
from services.common.feed import files
from services.common.feed.head import filter_text
from services.common.feed.rows import EMPTY, Digest, updated
from services.common.feed.signing import Signer
from services.reputation.feed import Feed
from services.reputation.filters import Filter, make_filter, to_rows
from services.reputation.snapshot import flatten
from services.reputation.state import PublishedState
from tests.published_rows import key, numbers_of, published

NOTHING, ESTABLISHED, PROTECTED = 2, 3, 8
FILTERS = [
    Filter(),
    Filter(minimum_level=2),
    Filter(groups=(3,)),
    Filter(calling_codes=(86,)),
    Filter(calling_codes=(1,), minimum_level=1, groups=(1, 3)),
]
_folders = itertools.count()

numbers = st.sampled_from(
    [key(8613800138000 + i) for i in range(6)]
    + [key(12025550100 + i) for i in range(3)]
    + [(2 << 60) + 9558800]
)
values = st.tuples(
    st.sampled_from([0, 1100, 3101, 4100]),
    st.integers(0, 4),
    st.sampled_from([NOTHING, ESTABLISHED, PROTECTED]),
    st.integers(0, 60),
)
histories = st.lists(st.dictionaries(numbers, values, max_size=6), min_size=1, max_size=8)


def new_feed(state, folder):
    return Feed(state, Signer(bytes(32)), folder / str(next(_folders)), lambda: 0)


def publish(state, rows, version):
    state.apply(published(rows, version), version, version, version, "")


def expected_rows(state, chosen):
    rows, shown = to_rows(flatten(state.snapshot))
    return rows[shown & chosen.keeps(rows)]


def follow(feed, rows, version, chosen):
    change = feed.changes(version, chosen)
    assert not change.reset
    gone = files.read_numbers(change.removals) if change.removals else np.zeros(0, np.int64)
    new = files.read_rows(change.additions) if change.additions else EMPTY
    return updated(rows, gone, new), change.head


@settings(deadline=None)
@given(histories, st.sampled_from(FILTERS), st.data())
def test_a_snapshot_and_the_updates_since_are_the_state_byte_for_byte(
    tmp_path_factory, history, chosen, data
):
    folder, state = tmp_path_factory.mktemp("feed"), PublishedState()
    feed = new_feed(state, folder)
    consumers = []
    for version, rows in enumerate(history, start=1):
        publish(state, rows, version)
        if data.draw(st.booleans(), label="restart"):
            again = PublishedState()
            again.apply(flatten(state.snapshot), version, version, version, "")
            state, feed = again, new_feed(again, folder)
        if data.draw(st.booleans(), label="a consumer begins"):
            now = feed.state(chosen)
            consumers.append((now.rows, now.head))
        if consumers and data.draw(st.booleans(), label="the first consumer follows"):
            consumers[0] = follow(feed, consumers[0][0], consumers[0][1].version, chosen)

    for rows, head in consumers:
        rows, head = follow(feed, rows, head.version, chosen)

        assert rows.tobytes() == expected_rows(state, chosen).tobytes()
        assert Digest.of(rows).sha256.hex() == head.state_sha256
        assert head.row_count == len(rows)


@settings(deadline=None)
@given(histories)
def test_what_a_lookup_finds_is_what_the_feed_holds(history):
    state = PublishedState()
    for version, rows in enumerate(history, start=1):
        publish(state, rows, version)
    rows, _ = to_rows(flatten(state.snapshot))
    feed = new_feed(state, Path("unused")).state(Filter()).rows

    for row in feed:
        found = state.snapshot.find(int(row["number"]))
        assert (found[2], found[7], found[8]) == (row["category"], row["level"], row["state"])
    absent = set(numbers_of(rows)) - set(numbers_of(feed))
    for number in absent:
        found = state.snapshot.find(number)
        assert (found[2], found[7]) == (0, 0)


@pytest.fixture
def state():
    state = PublishedState()
    publish(state, {key(8613800138000 + i): (3101, 2, ESTABLISHED, i) for i in range(100)}, 1)
    return state


@pytest.fixture
def feed(state, tmp_path):
    return new_feed(state, tmp_path)


def test_a_number_with_nothing_more_to_show_becomes_a_removal(state, feed):
    before = feed.state(Filter())
    publish(state, {key(8613800138003): (0, 0, NOTHING, 3)}, 2)

    change = feed.changes(before.head.version, Filter())

    assert files.read_numbers(change.removals).tolist() == [key(8613800138003)]
    assert change.additions == b""


def test_a_version_from_the_future_resets(feed):
    version = feed.state(Filter()).head.version.replace("1-", "9-", 1)

    assert feed.changes(version, Filter()).reset


def test_a_version_of_another_filter_resets(feed):
    version = feed.state(Filter()).head.version

    assert feed.changes(version, Filter(minimum_level=3)).reset


def test_more_changes_than_a_snapshot_is_worth_reset(state, feed, monkeypatch):
    monkeypatch.setattr("services.reputation.feed.RESET_ROWS", 10)
    version = feed.state(Filter()).head.version
    publish(state, {key(8613800138000 + i): (1100, 4, ESTABLISHED, i) for i in range(50)}, 2)

    assert feed.changes(version, Filter()).reset


def test_a_snapshot_is_shared_by_equal_filters_and_kept_for_minutes(state, feed):
    first = feed.snapshot(make_filter([86, 86], 0, []))
    publish(state, {key(8613800138000): (1100, 4, ESTABLISHED, 1)}, 2)

    assert feed.snapshot(make_filter([86], 0, [])) is first
    kept = files.read_rows(str(feed.open_snapshot(first.snapshot_id)))
    assert kept["category"].tolist() == [3101] * 100


def test_a_young_snapshot_from_which_no_updates_lead_on_is_written_anew(state, feed, monkeypatch):
    monkeypatch.setattr("services.reputation.feed.RESET_ROWS", 10)
    first = feed.snapshot(Filter())
    publish(state, {key(8613800138000 + i): (1100, 4, ESTABLISHED, i) for i in range(50)}, 2)

    second = feed.snapshot(Filter())

    assert second.head.version == feed.state(Filter()).head.version != first.head.version
    assert not feed.changes(second.head.version, Filter()).reset


def test_files_that_nobody_may_resume_any_more_are_removed_also_those_never_finished(
    state, feed, tmp_path
):
    kept = feed.snapshot(Filter())
    folder = feed.open_snapshot(kept.snapshot_id).parent
    old, torn, fresh = (folder / name for name in ("a.parquet", "b.part", "c.part"))
    for path in (old, torn, fresh):
        path.write_bytes(b"x")
    for path in (old, torn):
        os.utime(path, (0, 0))

    feed.snapshot(Filter(calling_codes=(86,)))

    assert not old.exists()
    assert not torn.exists()
    assert fresh.exists()
    assert feed.open_snapshot(kept.snapshot_id).exists()


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "0" * 64, "A" * 64])
def test_a_snapshot_that_is_not_kept_is_not_found(feed, name):
    with pytest.raises(NotFound) as caught:
        feed.open_snapshot(name)

    assert caught.value.reason == "SNAPSHOT_NOT_FOUND"


def test_a_receipt_for_a_state_that_was_never_published_is_refused(feed):
    head = feed.state(Filter()).head

    assert feed.check_applied(head.version, Filter(), bytes.fromhex(head.state_sha256)) == 1
    for version, digest in ((head.version, bytes(32)), ("2" + head.version[1:], bytes(32))):
        with pytest.raises(FailedPrecondition) as caught:
            feed.check_applied(version, Filter(), digest)
        assert caught.value.reason == "FEED_DIGEST_MISMATCH"


def test_too_many_watchers_are_refused_and_a_place_is_given_back(feed):
    places = [feed.watch(lambda: False) for _ in range(8)]

    with pytest.raises(Exception, match="poll ListUpdates"):
        feed.watch(lambda: False)
    with places[0]:
        pass
    feed.watch(lambda: False)


def test_a_stopped_feed_ends_its_watches(feed):
    with feed.watch(lambda: False) as place:
        feed.stop()

        assert not place.wait_newer(1)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (([0], 0, []), "filter.calling_codes"),
        (([1000], 0, []), "filter.calling_codes"),
        (([], 5, []), "filter.minimum_level"),
        (([], 0, ["A31"]), "filter.category_groups"),
        (([], 0, ["Z"]), "filter.category_groups"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(arguments, field):
    with pytest.raises(InvalidArgument) as caught:
        make_filter(*arguments)

    assert caught.value.metadata["field"] == field


def test_a_calling_code_keeps_its_numbers_and_no_longer_code():
    numbers = (key(8613800138000), key(85212345678), key(12025550100), (2 << 60) + 1000000)
    rows, _ = to_rows(published(dict.fromkeys(numbers, (3101, 2, ESTABLISHED, 1)), 1))

    assert numbers_of(rows[Filter(calling_codes=(86,)).keeps(rows)]) == [
        key(8613800138000),
        (2 << 60) + 1000000,
    ]
    assert numbers_of(rows[Filter(calling_codes=(852,)).keeps(rows)]) == [key(85212345678)]
    assert numbers_of(rows[Filter(calling_codes=(1,)).keeps(rows)]) == [key(12025550100)]


@pytest.mark.parametrize(
    ("codes", "level", "groups", "text"),
    [
        ([], 0, [], "all"),
        ([852, 86, 86], 2, ["A3", "A1", "A3"], "+86,852 level>=2 A1,A3"),
        ([], 0, ["A2"], "A2"),
    ],
)
def test_consumers_name_a_filter_as_the_server_does(codes, level, groups, text):
    assert filter_text(codes, level, groups) == text
    assert make_filter(codes, level, groups).text == text

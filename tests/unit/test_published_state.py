"""The published state over random histories: in memory, on disk, followed, compacted, damaged."""

import itertools
import resource
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import InvalidArgument, Unavailable
from services.common.feed.signing import Signer
from services.reputation import state as state_module
from services.reputation.feed import Feed
from services.reputation.filters import Filter, to_rows
from services.reputation.following import FollowedState
from services.reputation.hashes import hash_of
from services.reputation.published import key_index, table
from services.reputation.published.packing import NAMES, rounded
from services.reputation.published.shelf import CURRENT, Mark
from services.reputation.snapshot import changed_since, flatten
from services.reputation.state import PublishedState
from services.reputation.values import values_of
from tests.published_rows import key, published

FIRST = 8613800138000
_folders = itertools.count()

numbers = st.sampled_from(
    [key(FIRST + i) for i in range(12)] + [key(12025550100 + i) for i in range(3)] + [(2 << 60) + 5]
)
values = st.tuples(
    st.sampled_from([0, 1100, 3101, 4100]),
    st.integers(0, 4),
    st.sampled_from([2, 3, 4, 8]),
    st.integers(0, 90_000),
)
versions = st.dictionaries(numbers, values, max_size=8)
steps = st.lists(
    st.one_of(
        versions.map(lambda rows: ("publish", rows)),
        st.just(("restart", None)),
        st.just(("a reader begins", None)),
        st.just(("torn log", None)),
    ),
    min_size=1,
    max_size=14,
)


def apply(state, rows, version):
    state.apply(published(rows, version), version, version, version, f"c{version}")


def said(snapshot):
    """Number to (category, level, state, marks, version) of everything in a snapshot."""
    rows = flatten(snapshot)
    names = ("category", "level", "state", "mark_count", "version")
    found = zip(*(rows[name].tolist() for name in names), strict=True)
    return dict(zip(rows["number"].tolist(), found, strict=True))


def lookup(snapshot, number):
    row = snapshot.find(number)
    if row is None:
        return None
    named = dict(zip(NAMES, row, strict=True))
    return tuple(int(named[n]) for n in ("category", "level", "state", "mark_count", "version"))


@pytest.fixture(autouse=True)
def small_layers(monkeypatch):
    """Layers of a few rows, so that short histories write every kind of file."""
    monkeypatch.setattr(state_module, "RECENT_ROWS", 6)
    monkeypatch.setattr(state_module, "MIDDLE_ROWS", 10)


@settings(deadline=None, max_examples=150)
@given(steps, st.integers(0, 60))
def test_lookup_feed_and_readers_say_what_was_published(tmp_path_factory, history, cut):
    folder = tmp_path_factory.mktemp("state") / "published"
    state, version, model, readers = PublishedState(folder), 0, {}, []
    for what, rows in history:
        if what == "publish":
            version += 1
            apply(state, rows, version)
            model |= {number: (*row, version) for number, row in rows.items()}
        elif what == "a reader begins":
            readers.append(FollowedState(folder))
        elif version:
            state.close()
            if what == "torn log":
                (log,) = folder.glob("*.log")
                whole = log.read_bytes()
                log.write_bytes(whole + whole[: cut % (len(whole) or 1)] + b"ZMDELTA1")
            state = PublishedState(folder)
        for reader in readers:
            reader.poll()
            if version:
                assert said(reader.snapshot) == model
        assert said(state.snapshot) == model

    asked = np.array([*model, key(FIRST + 99)], dtype=np.int64)
    packed = values_of(state.snapshot, asked)
    feed = Feed(state, Signer(bytes(32)), folder, lambda: 0).state(Filter())
    in_feed = {int(row["number"]): row.tobytes()[8:] for row in feed.rows}
    assert state.snapshot.number_count == len(model)
    for number, value in zip(asked.tolist(), packed.tolist(), strict=True):
        assert lookup(state.snapshot, number) == model.get(number)
        assert in_feed.get(number, bytes(8)) == value.to_bytes(8, "little")
    for since in range(version + 1):
        late = changed_since(state.snapshot, since)
        assert set(late["number"].tolist()) == {n for n, row in model.items() if row[4] > since}
    state.close()


@settings(deadline=None)
@given(st.dictionaries(numbers, values, max_size=12), st.dictionaries(numbers, values, max_size=6))
def test_private_lookup_finds_exactly_the_bucket(below, above):
    state = PublishedState()
    apply(state, below, 1)
    apply(state, above, 2)

    for number in {**below, **above}:
        text = table.of_columns(published({number: (0, 0, 2, 0)}, 1)).index.keys()
        head = int.from_bytes(_hash(number)[:2], "big")
        assert number in state.snapshot.bucket(head).tolist()
        assert text.tolist() == [number]
    whole = {n for head in {_head(n) for n in {**below, **above}} for n in _bucket(state, head)}
    assert whole == {**below, **above}.keys()


def _hash(number):
    from services.common.numbering import format_keys

    return hash_of(format_keys(np.array([number]))[0])


def _head(number):
    return int.from_bytes(_hash(number)[:2], "big")


def _bucket(state, head):
    return state.snapshot.bucket(head).tolist()


keys = st.lists(
    st.one_of(
        st.integers(1, 2**62),
        st.integers(key(FIRST), key(FIRST + 200)),
        st.integers(key(FIRST), key(FIRST + 10**9)),
    ),
    unique=True,
    max_size=60,
)


@settings(deadline=None)
@given(keys, keys)
def test_the_index_finds_what_is_there_and_nothing_else(there, asked):
    ordered = np.array(sorted(there), dtype=np.int64)
    index = key_index.build(ordered)
    questions = np.array([*there, *asked, *(k + 1 for k in there)], dtype=np.int64)

    found = index.find(questions)

    places = {k: at for at, k in enumerate(ordered.tolist())}
    assert found.tolist() == [places.get(k, -1) for k in questions.tolist()]
    assert [index.find_one(k) for k in questions.tolist()] == found.tolist()
    assert [index.rank(k) for k in questions.tolist()] == np.searchsorted(
        ordered, questions
    ).tolist()
    assert index.keys().tolist() == ordered.tolist()
    for start in range(0, len(ordered), 7):
        assert index.keys(start, start + 5).tolist() == ordered[start : start + 5].tolist()


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_the_index_finds_every_key_where_what_it_keeps_of_them_begins_anew(share):
    """It keeps 16 bits of a key: a bucket just below a multiple of 65,536 is followed by less."""
    rng = np.random.default_rng(7)
    around = np.concatenate([np.arange(-40, 40) + (1 << 60) + (n << 16) for n in range(1, 300)])
    ordered = around[rng.random(len(around)) < share]
    index = key_index.build(ordered)

    assert index.low.dtype == np.uint16
    row_of = {number: row for row, number in enumerate(ordered.tolist())}
    rows = [row_of.get(number, -1) for number in around.tolist()]
    assert index.find(around).tolist() == rows
    assert [index.find_one(number) for number in around.tolist()] == rows


@settings(deadline=None)
@given(st.data())
def test_a_table_cut_or_changed_anywhere_is_not_read(data):
    rows = published({key(FIRST + i): (3101, 2, 3, i) for i in range(50)}, 1)
    whole = table.to_bytes(table.of_columns(rows))
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :]

    for damaged in (whole[:at], flipped):
        try:
            read = table.from_bytes(damaged)
        except InvalidArgument as error:
            assert error.reason == "FILE_UNREADABLE"
        else:  # padding between sections means nothing
            assert damaged is flipped
            assert table.to_bytes(read) == whole


def test_rounding_twice_changes_nothing_and_a_table_keeps_what_is_rounded():
    generator = np.random.default_rng(1)
    rows = published({key(FIRST + i): (3101, 2, 3, i) for i in range(500)}, 1)
    rows |= {
        "risk": generator.random(500).astype(np.float32),
        "probability": generator.random(500).astype(np.float32),
        "probabilities": generator.random((500, 5)).astype(np.float32),
        "effective_sources": generator.gamma(2, 3, 500).astype(np.float32),
        "first_mark_ms": generator.integers(0, 2 * 10**12, 500),
        "last_mark_ms": generator.integers(0, 2 * 10**12, 500),
    }

    once = rounded(rows)
    kept = table.of_columns(once).columns(NAMES)

    for name in NAMES:
        assert (rounded(once)[name] == once[name]).all()
        assert (kept[name] == once[name]).all()
    assert np.abs(once["risk"] - rows["risk"]).max() <= 0.5 / 65_535 + 1e-7


def test_a_damaged_file_is_left_and_the_state_begun_anew(tmp_path):
    folder = tmp_path / "published"
    state = PublishedState(folder)
    apply(state, {key(FIRST + i): (3101, 2, 3, i) for i in range(20)}, 1)
    state.close()
    (path,) = folder.glob("*.table")
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)

    again = PublishedState(folder)

    assert again.snapshot.version == 0
    apply(again, {key(FIRST): (3101, 2, 3, 1)}, 5)
    reader = FollowedState(folder)
    assert reader.poll()
    assert reader.snapshot.version == 5
    again.close()


def test_a_reader_keeps_its_state_while_a_file_is_damaged(tmp_path):
    folder = tmp_path / "published"
    state = PublishedState(folder)
    apply(state, {key(FIRST + i): (3101, 2, 3, i) for i in range(20)}, 1)
    reader = FollowedState(folder)
    reader.poll()
    (folder / CURRENT).write_bytes(
        (folder / CURRENT).read_bytes().replace(b'"version": 1', b'"version": 9')
    )

    assert not reader.poll()

    assert reader.snapshot.version == 1
    assert len(said(reader.snapshot)) == 20
    state.close()


def test_before_anything_is_there_a_reader_is_not_ready(tmp_path):
    reader = FollowedState(tmp_path / "nothing")

    assert not reader.poll()
    with pytest.raises(Unavailable) as caught:
        _ = reader.snapshot
    assert caught.value.reason == "NOT_READY"


def test_a_second_writer_is_refused(tmp_path):
    first = PublishedState(tmp_path)

    with pytest.raises(Unavailable) as caught:
        PublishedState(tmp_path)
    first.close()

    assert caught.value.reason == "STATE_IN_USE"
    PublishedState(tmp_path).close()


def test_tables_put_in_place_of_all_are_what_a_reader_sees(tmp_path):
    state = PublishedState(tmp_path)
    apply(state, {key(FIRST): (3101, 2, 3, 1)}, 4)
    parts = [
        table.of_columns(published({key(FIRST + 10 + i): (1100, 4, 3, i)}, 5)) for i in range(3)
    ]

    state.replace(parts, Mark(5, 5, 5, "c"))

    reader = FollowedState(tmp_path)
    reader.poll()
    assert reader.snapshot.number_count == 3
    assert said(reader.snapshot) == said(state.snapshot)
    rows, shown = to_rows(flatten(reader.snapshot))
    assert shown.all()
    assert rows["marks"].tolist() == [0, 1, 2]
    state.close()


@pytest.fixture
def nearly_full(tmp_path):
    """Limits files of this process to a size; the limit is lifted at the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_costs_a_version_and_not_the_ones_after(tmp_path, nearly_full):
    folder = tmp_path / "published"
    state = PublishedState(folder)
    apply(state, {key(FIRST + i): (3101, 2, 3, i) for i in range(20)}, 1)
    (log,) = folder.glob("*.log")
    reader = FollowedState(folder)

    nearly_full(log.stat().st_size + 100)
    with pytest.raises(OSError, match="large"):
        apply(state, {key(FIRST): (1100, 4, 3, 7)}, 2)
    assert state.snapshot.version == 1
    nearly_full(resource.RLIM_INFINITY)
    apply(state, {key(FIRST + 1): (1100, 4, 3, 8)}, 3)

    reader.poll()
    assert reader.snapshot.version == 3
    assert said(reader.snapshot) == said(state.snapshot)
    state.close()

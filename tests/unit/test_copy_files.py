"""Files made from a copy: what a carrier loads and what a call blocker reads."""

import csv
import hashlib
import json
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import InvalidArgument
from services.common.feed.head import Head, make_version
from services.common.feed.rows import ROW, Digest
from services.common.numbering import format_keys
from services.consumer import blocklists, carrier_files
from services.consumer.copy import Copy
from tests.published_rows import key

DAY = date(2026, 11, 25)
PROVISIONAL, ESTABLISHED, CONTESTED, ADJUDICATED = 2, 3, 4, 6
SHORT = (2 << 60) + 9558800

states = st.dictionaries(
    st.sampled_from([key(8613800138000 + i) for i in range(8)] + [SHORT]),
    st.tuples(st.sampled_from([0, 1101, 3101]), st.integers(0, 4), st.integers(2, 8)),
)


def copy_of(state, version=5):
    rows = np.zeros(len(state), dtype=ROW)
    for at, number in enumerate(sorted(state)):
        category, level, published = state[number]
        rows[at] = (number, category, 90, 71, level, published, 20)
    digest = Digest.of(rows)
    head = Head(make_version(version, "all"), "all", len(rows), digest.sha256.hex(), 1)
    return Copy(head, b"", b"", b"", "{}", rows, digest)


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def load(before, done):
    """What a carrier has after loading the files in order."""
    loaded = dict(before) if done.kind == carrier_files.UPDATE else {}
    for path in done.paths[:-1]:
        for row in read(path):
            if row["operation"] == "DELETE":
                del loaded[row["number"]]
            else:
                loaded[row["number"]] = (row["category"], int(row["level"]))
    return loaded


def expected(state):
    names = dict(zip(state, format_keys(np.array(list(state), dtype=np.int64)), strict=True))
    return {names[n]: (f"A{c}" if c else "", level) for n, (c, level, _) in state.items()}


@given(history=st.lists(states, min_size=1, max_size=4), size=st.integers(1, 5))
def test_a_carrier_that_loads_all_files_has_the_copy(tmp_path_factory, history, size):
    folder, loaded = tmp_path_factory.mktemp("files"), {}

    for version, state in enumerate(history):
        done = carrier_files.hand_over(copy_of(state, version), folder, "CMCC", DAY, size)
        loaded = load(loaded, done) if done.paths else loaded

        assert loaded == expected(state)


def test_files_are_named_in_order_and_the_last_one_vouches_for_the_others(tmp_path):
    first = carrier_files.hand_over(
        copy_of({key(8613800138000 + i): (3101, 2, 3) for i in range(5)}), tmp_path, "CMCC", DAY, 2
    )
    after = copy_of({key(8613800138000): (1101, 4, 6)}, version=6)
    second = carrier_files.hand_over(after, tmp_path, "CMCC", DAY)

    assert [path.name for path in first.paths] == [
        *(f"NumberMarkFull_CMCC_20261125_00{n}.csv" for n in (1, 2, 3)),
        "NumberMarkCheck_CMCC_20261125_004.csv",
    ]
    assert [path.name for path in second.paths] == [
        "NumberMarkUpdate_CMCC_20261125_005.csv",
        "NumberMarkCheck_CMCC_20261125_006.csv",
    ]
    assert [row["operation"] for row in read(second.paths[0])] == ["DELETE"] * 4 + ["PUT"]
    for path, row in zip(first.paths[:-1], read(first.paths[-1]), strict=True):
        assert row["file"] == path.name
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert int(row["rows"]) == len(read(path))


def test_nothing_is_written_where_nothing_has_changed(tmp_path):
    state = {key(8613800138000): (3101, 2, 3)}
    carrier_files.hand_over(copy_of(state), tmp_path, "CMCC", DAY)

    again = carrier_files.hand_over(copy_of(state, version=9), tmp_path, "CMCC", DAY)

    assert again == carrier_files.HandedOver("", (), 0, 0)


def test_carriers_are_told_apart_and_an_interrupted_hand_over_begins_anew(tmp_path):
    state = copy_of({key(8613800138000): (3101, 2, 3)})
    carrier_files.hand_over(state, tmp_path, "CMCC", DAY)

    other = carrier_files.hand_over(state, tmp_path, "CUCC", DAY)
    (tmp_path / carrier_files.STATE_FOLDER / "CMCC" / carrier_files.LAST).unlink()
    again = carrier_files.hand_over(state, tmp_path, "CMCC", DAY)

    assert other.kind == again.kind == carrier_files.FULL
    assert again.paths[0].name == "NumberMarkFull_CMCC_20261125_003.csv"


def test_a_damaged_record_of_the_last_hand_over_is_named(tmp_path):
    state = copy_of({key(8613800138000): (3101, 2, 3)})
    carrier_files.hand_over(state, tmp_path, "CMCC", DAY)
    record = tmp_path / carrier_files.STATE_FOLDER / "CMCC" / carrier_files.LAST_ROWS
    record.write_bytes(record.read_bytes()[:40])

    with pytest.raises(InvalidArgument) as refused:
        carrier_files.hand_over(state, tmp_path, "CMCC", DAY)

    assert refused.value.reason == "FILE_UNREADABLE"
    assert "begin anew" in str(refused.value)


@pytest.mark.parametrize("carrier", ["", "cmcc", "../CMCC", "CM CC"])
def test_a_carrier_is_a_short_code(tmp_path, carrier):
    with pytest.raises(InvalidArgument) as refused:
        carrier_files.hand_over(copy_of({}), tmp_path, carrier, DAY)

    assert refused.value.reason == "FIELD_OUT_OF_RANGE"


BLOCKLIST = {
    key(8613800138000): (1106, 4, ADJUDICATED),
    key(8613800138001): (3101, 2, ESTABLISHED),
    key(8613800138002): (3101, 2, CONTESTED),
    key(8613800138003): (1101, 2, PROVISIONAL),
    key(8613800138004): (4100, 0, ESTABLISHED),
    key(8613800138005): (2100, 3, ESTABLISHED),
    SHORT: (3101, 2, ESTABLISHED),
}


def test_a_blocker_gets_what_is_established_or_decided_and_unwanted():
    found = json.loads(blocklists.phoneblock(copy_of(BLOCKLIST), None))

    assert found == {
        "numbers": [
            {"phone": "+8613800138000", "votes": 20, "rating": "F_GAMBLE"},
            {"phone": "+8613800138001", "votes": 20, "rating": "E_ADVERTISING"},
            {"phone": "+8613800138005", "votes": 20, "rating": "B_MISSED"},
        ],
        "version": 5,
    }


def test_a_later_blocklist_takes_numbers_back_by_no_votes(tmp_path):
    before = tmp_path / "before.json"
    before.write_text(blocklists.phoneblock(copy_of(BLOCKLIST), None))
    later = {
        **BLOCKLIST,
        key(8613800138001): (3101, 2, CONTESTED),
        key(8613800138006): (1101, 4, ESTABLISHED),
    }

    found = json.loads(blocklists.phoneblock(copy_of(later, version=6), before))

    assert found["version"] == 6
    assert found["numbers"] == [
        {"phone": "+8613800138006", "votes": 20, "rating": "G_FRAUD"},
        {"phone": "+8613800138001", "votes": 0, "rating": "E_ADVERTISING"},
    ]


def test_a_reader_that_splits_at_commas_reads_every_line():
    lines = blocklists.spamblocker(copy_of(BLOCKLIST), minimum_level=3).splitlines()

    assert lines == [
        "pattern,description",
        "+8613800138000,中奖诈骗",
        "+8613800138005,违规催收／欠款催收",
    ]

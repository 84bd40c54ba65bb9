"""Rows of the feed, their digest, files and signed head."""

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import FailedPrecondition, InvalidArgument
from services.common.feed import files
from services.common.feed.head import Head, make_version, read_head, read_version
from services.common.feed.rows import (
    EMPTY,
    MARK_STEPS,
    ROW,
    Digest,
    round_marks,
    updated,
    values_of,
)
from services.common.feed.signing import Signer, verify
from services.common.places import place

numbers = st.one_of(st.integers(1, 300_000), st.integers(1, 2**63 - 1))
states = st.dictionaries(numbers, st.integers(0, 2**64 - 1), max_size=40)


def rows_of(state):
    packed = b"".join(struct.pack("<qQ", n, state[n]) for n in sorted(state))
    return np.frombuffer(packed, dtype=ROW)


def plain_digest(rows):
    """The digest as docs/sync.md describes it, one row at a time."""
    buckets = {}
    for row in rows:
        bucket = int(row["number"]) // 65536
        buckets.setdefault(bucket, hashlib.sha256()).update(row.tobytes())
    whole = hashlib.sha256()
    for bucket in sorted(buckets):
        whole.update(struct.pack("<q", bucket) + buckets[bucket].digest())
    return whole.digest()


@given(states)
def test_a_digest_is_what_the_page_describes(state):
    rows = rows_of(state)

    assert Digest.of(rows).sha256 == plain_digest(rows)


@given(states, states, st.lists(numbers, max_size=20))
def test_an_updated_state_has_the_digest_of_the_state_made_at_once(before, additions, removals):
    gone = [n for n in removals if n not in additions]
    expected = rows_of({n: v for n, v in {**before, **additions}.items() if n not in gone})
    removed = np.array(sorted(gone), dtype=np.int64)
    removed = np.unique(removed)

    rows = updated(rows_of(before), removed, rows_of(additions))
    touched = np.append(removed, rows_of(additions)["number"])
    digest = Digest.of(rows_of(before)).updated(rows, touched)

    assert rows.tobytes() == expected.tobytes()
    assert digest.sha256 == Digest.of(expected).sha256


@given(states)
def test_rows_come_back_from_a_file_byte_for_byte(state):
    rows = rows_of(state)

    packed = files.pack_rows(rows)

    assert files.read_rows(packed).tobytes() == rows.tobytes()
    assert files.pack_rows(rows) == packed


@given(states)
def test_a_value_is_the_eight_bytes_after_the_number(state):
    assert values_of(rows_of(state)).tolist() == [state[n] for n in sorted(state)]


@given(states, st.lists(numbers))
def test_place_finds_what_is_there_and_nothing_else(state, wanted):
    rows = rows_of(state)

    at, there = place(rows["number"], np.array(wanted, dtype=np.int64))

    assert there.tolist() == [n in state for n in wanted]
    assert rows["number"][at[there]].tolist() == [n for n in wanted if n in state]


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, 0), (1, 1), (4, 2), (5, 5), (19, 10), (50_000, 50_000), (2**31, 50_000)],
)
def test_marks_are_rounded_down_to_1_2_5(count, shown):
    assert round_marks(np.array([count])).tolist() == [shown]
    assert shown in MARK_STEPS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PAR1",
        b"PAR1" + bytes(200) + b"PAR1",
        files.pack_numbers(np.array([1, 2])),
    ],
)
def test_what_is_no_file_of_rows_is_refused(content):
    with pytest.raises(InvalidArgument) as caught:
        files.read_rows(content)

    assert caught.value.reason == "FILE_UNREADABLE"


@given(st.data())
def test_a_damaged_file_is_refused_or_read_as_rows(data):
    whole = bytearray(files.pack_rows(rows_of({n: n * 7 for n in range(1, 200)})))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))

    try:
        rows = files.read_rows(bytes(whole))
    except InvalidArgument as error:
        assert error.reason == "FILE_UNREADABLE"
    else:
        assert rows.dtype == ROW


def test_numbers_that_do_not_ascend_are_refused():
    rows = np.concatenate([rows_of({5: 1}), rows_of({4: 1})])

    with pytest.raises(InvalidArgument, match="ascending"):
        files.read_rows(files.pack_rows(rows))


def test_an_empty_state_has_a_digest_and_a_file():
    assert Digest.of(EMPTY).sha256 == hashlib.sha256(b"").digest()
    assert len(files.read_rows(files.pack_rows(EMPTY))) == 0


HEAD = Head("12-0a1b2c3d", "all", 3, "ab" * 32, 1_790_000_000_000)


def test_a_head_that_was_signed_is_accepted():
    signer = Signer(bytes(32))

    assert verify(signer.public_key, HEAD.to_bytes(), signer.sign(HEAD.to_bytes())) == HEAD


@pytest.mark.parametrize("at", [0, 40, -1])
def test_a_changed_head_is_refused(at):
    signer, content = Signer(bytes(32)), bytearray(HEAD.to_bytes())
    signature = signer.sign(bytes(content))
    content[at] ^= 1

    with pytest.raises(FailedPrecondition) as caught:
        verify(signer.public_key, bytes(content), signature)

    assert caught.value.reason == "FEED_SIGNATURE_INVALID"


def test_a_head_of_another_key_is_refused():
    signature = Signer(bytes(31) + b"\1").sign(HEAD.to_bytes())

    with pytest.raises(FailedPrecondition):
        verify(Signer(bytes(32)).public_key, HEAD.to_bytes(), signature)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"\xff", json.dumps(HEAD.__dict__ | {"row_count": "3"}).encode()],
)
def test_a_head_that_cannot_be_read_is_refused(content):
    with pytest.raises(InvalidArgument):
        read_head(content)


def test_a_version_belongs_to_its_filter():
    assert read_version(make_version(7, "all"), "all") == 7
    assert read_version(make_version(7, "all"), "+86") is None


@given(st.text())
def test_a_version_of_any_text_is_read_or_refused(text):
    try:
        read_version(text, "all")
    except InvalidArgument as error:
        assert error.reason == "FEED_VERSION_INVALID"


def test_the_vectors_of_the_page_hold():
    """docs/sync.md shows these to whoever writes a client."""
    state = {
        (1 << 60) + 8613800138000: struct.unpack("<Q", bytes.fromhex("e40b5a4702030a00"))[0],
        (1 << 60) + 8613800138001: struct.unpack("<Q", bytes.fromhex("4c04636304060000"))[0],
        (2 << 60) + 9558800: struct.unpack("<Q", bytes.fromhex("0000000100080000"))[0],
    }
    signer = Signer(bytes(range(32)))
    digest = Digest.of(rows_of(state)).sha256.hex()
    head = Head(make_version(5, "all"), "all", 3, digest, 1790000000000)
    page = (Path(__file__).parents[2] / "docs" / "sync.md").read_text()

    assert rows_of(state).tobytes().hex() in page.replace("\n", "").replace(" ", "")
    assert head.state_sha256 in page
    assert head.to_bytes().decode() in page
    assert signer.public_key.hex() in page
    assert signer.sign(head.to_bytes()).hex() in page

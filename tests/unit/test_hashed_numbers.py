"""Mobile numbers by the SHA-1 of their digits."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.common.numbering import parse
from services.console.hashed_numbers import HashedNumbers, sha1_of

MOBILES = st.integers(13_800_000_000, 13_800_001_999).map(lambda digits: f"+86{digits}")


def keys(numbers):
    return np.array(sorted({parse(number, "CN").key for number in numbers}), dtype=np.int64)


def brute(numbers, prefix):
    hashes = {hashlib.sha1(number[3:].encode()).hexdigest(): number for number in numbers}
    return {sha1: hashes[sha1] for sha1 in sorted(hashes) if sha1.startswith(prefix)}


def test_an_app_hashes_the_eleven_digits():
    # printf 13800138000 | sha1sum
    assert sha1_of("+8613800138000") == "ffe1cf3289b18e5aedf4f62e2c1ce2242bbdb0c2"


@given(st.sets(MOBILES, max_size=300), st.data())
def test_a_prefix_finds_all_and_only_the_numbers_whose_hash_begins_so(numbers, data):
    hashed = HashedNumbers.of(keys(numbers))
    other = data.draw(MOBILES)
    length = data.draw(st.integers(4, 40))
    prefix = sha1_of(data.draw(st.sampled_from(sorted(numbers | {other}))))[:length]

    assert list(hashed.find(prefix).items()) == list(brute(numbers, prefix).items())


def test_many_hashes_of_one_bucket_are_found():
    numbers = {f"+86{digits}" for digits in range(13_800_000_000, 13_800_200_000)}
    hashed = HashedNumbers.of(keys(numbers))

    found = hashed.find("00ff")

    assert found == brute(numbers, "00ff")
    assert len(found) > 1


@given(st.sets(MOBILES), st.sets(MOBILES), st.sets(MOBILES))
def test_an_update_leaves_what_all_numbers_hashed_anew_would_give(before, removed, added):
    hashed = HashedNumbers.of(keys(before)).updated(keys(removed), keys(added))

    whole = HashedNumbers.of(keys((before - removed) | added))

    assert hashed.heads.tolist() == whole.heads.tolist()
    assert hashed.keys.tolist() == whole.keys.tolist()


def test_only_chinese_mobile_numbers_are_hashed():
    others = ["95588", "+861062301234", "+4915112345678", "4006680180"]

    assert len(HashedNumbers.of(keys(others)).keys) == 0

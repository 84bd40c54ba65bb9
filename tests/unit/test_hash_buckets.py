"""Rows listed by the first two bytes of their hash."""

import numpy as np
import pytest

from services.reputation import hashes
from services.reputation.hashes import BUCKETS, SORTED_FROM, HashBuckets

SIZES = (SORTED_FROM, SORTED_FROM + 1, 3 * SORTED_FROM - 1, 200_001)


def drawn(count: int, most: int = BUCKETS) -> np.ndarray:
    return np.random.default_rng(count).integers(0, most, count).astype(np.uint16)


@pytest.mark.parametrize("count", [0, 1, 1000, SORTED_FROM - 1, *SIZES])
@pytest.mark.parametrize("most", [1, 9, BUCKETS])
def test_each_bucket_lists_its_rows_in_order(count, most):
    heads = drawn(count, most)

    found = hashes.buckets(heads)

    np.testing.assert_array_equal(found.by_row(), heads)
    for head in (0, 1, 8, 9, 4095, 4096, BUCKETS - 1, *heads[:20].tolist()):
        np.testing.assert_array_equal(found.find(head), np.flatnonzero(heads == head))


@pytest.mark.parametrize("count", SIZES)
def test_what_was_built_is_sound_and_takes_little_more_than_two_bytes_a_row(count):
    found = hashes.buckets(drawn(count))

    assert found.is_sound()
    assert found.low.nbytes + found.high.nbytes < 2.5 * count


def test_codes_that_do_not_fit_the_buckets_are_not_sound():
    found = hashes.buckets(drawn(100_000))
    bits = np.unpackbits(found.high, bitorder="little")
    zeros, ones = np.flatnonzero(bits == 0), np.flatnonzero(bits)

    def damaged(*places: int) -> HashBuckets:
        changed = bits.copy()
        changed[list(places)] ^= 1
        return HashBuckets(
            found.heads, found.low, np.packbits(changed, bitorder="little"), found.starts
        )

    assert not damaged(ones[5]).is_sound()  # a row less
    assert not damaged(zeros[5]).is_sound()  # a row more
    assert not damaged(ones[5], zeros[90_000]).is_sound()  # a row in another bucket
    low = found.low.copy()
    last = np.flatnonzero(found.find(7) >> 16 == 1)[0] + int(found.starts[7])
    low[last] = 0xFFFF  # beyond the last of 100,000 rows
    assert not HashBuckets(found.heads, low, found.high, found.starts).is_sound()

"""Whole numbers as texts of requests and files write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.numbering import parse
from services.common.wire import WHOLE_END, whole


@given(st.integers(0, WHOLE_END - 1))
def test_what_a_signed_column_takes_is_read(number):
    assert whole(str(number)) == number


def test_keys_of_numbers_are_whole():
    key = parse("13800138000").key

    assert whole(str(key)) == key


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", " 1", "1.0", "1e3", "²", "٣", str(WHOLE_END), "9" * 19, "9" * 5_000]
)
def test_all_else_is_not(text):
    assert whole(text) is None

"""Keys in ascending columns: the parts that they are cut into."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.places import parts


@given(keys=st.lists(st.integers(0, 9), max_size=40), about=st.integers(1, 12))
def test_parts_are_the_whole_in_order_and_no_key_is_in_two(keys, about):
    column = np.array(sorted(keys), dtype=np.int64)

    cut = [column[part] for part in parts(column, about)]

    np.testing.assert_array_equal(np.concatenate(cut), column)
    for before, after in zip(cut, cut[1:], strict=False):
        assert len(before) >= about
        assert before[-1] < after[0]
        assert np.sum(before < before[-1]) < about  # no more than the last key is beyond


@pytest.mark.parametrize("about", [1, 5])
def test_of_nothing_there_is_one_part(about):
    assert list(parts(np.zeros(0, dtype=np.int64), about)) == [slice(0, 0)]

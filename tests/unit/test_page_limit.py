"""How many items a page has."""

import pytest

from services.common.wire import page_limit


@pytest.mark.parametrize(
    ("asked", "limit"), [(0, 50), (-1, 50), (-(1 << 31), 50), (1, 1), (500, 500), (501, 500)]
)
def test_a_page_has_what_was_asked_within_its_bounds(asked, limit):
    assert page_limit(asked, 50, 500) == limit

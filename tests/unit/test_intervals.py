"""Intervals of shares against scipy's exact and score intervals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from services.common import intervals


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_upper_bound_is_that_of_the_exact_test(count, more):
    of = max(count + more, 1)
    exact = stats.binomtest(count, of, alternative="less").proportion_ci(0.95, "exact")

    assert intervals.upper_bound(count, of) == pytest.approx(exact.high, abs=1e-9)


@pytest.mark.parametrize(("of", "upper"), [(0, 1.0), (1000, 0.002991), (30_000, 1e-4)])
def test_of_nothing_seen_little_is_known(of, upper):
    assert intervals.upper_bound(0, of) == pytest.approx(upper, rel=0.01)


@given(st.integers(0, 60), st.integers(1, 60))
def test_the_score_interval_is_wilsons(count, more):
    of = count + more
    exact = stats.binomtest(count, of).proportion_ci(0.95, "wilson")

    lower, upper = intervals.wilson(count / of, of)

    assert lower == pytest.approx(exact.low, abs=1e-4)
    assert upper == pytest.approx(exact.high, abs=1e-4)


def test_a_share_of_nothing_may_be_anything():
    assert intervals.wilson(0.0, 0) == (0.0, 1.0)

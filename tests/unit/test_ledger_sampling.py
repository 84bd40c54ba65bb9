"""The weekly sample: drawn by stratum, measured with its weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.arbitration.ledger import sampling

MONDAY = 1_789_948_800_000 - 8 * 3_600_000  # 2026-09-21 00:00 in China


@pytest.mark.parametrize("hours", [0, 1, 100, 167.9])
def test_a_week_begins_on_monday_in_china(hours):
    assert sampling.week_ms(MONDAY + int(hours * 3_600_000)) == MONDAY
    assert sampling.week_ms(MONDAY - 1) == MONDAY - 7 * 86_400_000


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=400),
    st.integers(10, 100),
    st.integers(0, 2**31),
)
def test_the_weights_of_a_sample_sum_to_what_it_was_drawn_from(category, size, seed):
    category = np.array(category)

    rows, weight = sampling.draw(category, size, seed)

    for code in np.unique(category):
        of_code = category[rows] == code
        assert weight[of_code].sum() == pytest.approx((category == code).sum())
        assert of_code.sum() >= min(sampling.LEAST, (category == code).sum())
    assert len(np.unique(rows)) == len(rows)


def test_the_same_week_draws_the_same_rows():
    category = np.repeat([1, 2], [900, 30])

    one, two, other = (sampling.draw(category, 50, seed)[0].tolist() for seed in (7, 7, 8))

    assert one == two != other


def test_a_rare_category_does_not_outweigh_a_common_one():
    category = np.array([1] * 10 + [2] * 10)
    right = np.array([True] * 10 + [False] * 10)
    weight = np.array([90.0] * 10 + [10.0] * 10)

    whole, first, second = sampling.measure(category, right, weight)

    assert whole.share == pytest.approx(0.9)
    assert (first.share, second.share) == (1.0, 0.0)
    assert whole.lower < 0.9 < whole.upper


def test_intervals_hold_the_truth_as_often_as_they_say():
    chance = np.random.default_rng(3)
    truth = chance.random(20_000) < 0.83
    category = np.where(chance.random(20_000) < 0.02, 2, 1)
    held = 0
    for seed in range(300):
        rows, weight = sampling.draw(category, 200, seed)
        found = sampling.measure(category[rows], truth[rows], weight)[0]
        held += found.lower <= truth.mean() <= found.upper

    assert held >= 0.93 * 300


def test_nothing_reviewed_measures_nothing():
    none = np.zeros(0)

    assert sampling.measure(none.astype(int), none.astype(bool), none) == []

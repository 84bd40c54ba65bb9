"""Half-lives from marks whose categories change at a known rate."""

import numpy as np
import pytest

from services.arbitration.domain import DAY_MS, Marks, Vocabulary
from services.arbitration.half_lives import MIN_PAIRS, learn_half_lives
from services.arbitration.honesty import expected_strata

TESTIFIES = int(expected_strata().argmax())
SPREADS = int(expected_strata().argmin())
STANDARD_DAYS = 60.0


def words(categories=4):
    """Two sources with a label a category."""
    return Vocabulary(
        labels=np.arange(2 * categories, dtype=np.uint64),
        sources=np.repeat(np.array([1, 2], np.uint64), categories),
        categories=np.arange(categories + 1, dtype=np.uint16),
        meaning=np.tile(np.eye(categories + 1)[1:], (2, 1)),
        half_life_ms=np.full(2 * categories, STANDARD_DAYS * DAY_MS),
    )


def history(half_life_days, numbers=4000, seed=1, error=0.2, trait=TESTIFIES):
    """Four marks a number by sources in turn; what a number is changes at the given rate."""
    chance = np.random.default_rng(seed)
    at = np.sort(chance.uniform(0, 400, (numbers, 4)), axis=1)
    truth = chance.integers(0, 4, numbers)
    said = np.empty((numbers, 4), dtype=np.int64)
    for step in range(4):
        if step:
            kept = chance.random(numbers) < np.exp2(
                -(at[:, step] - at[:, step - 1]) / half_life_days
            )
            truth = np.where(kept, truth, chance.integers(0, 4, numbers))
        wrong = chance.random(numbers) < error
        said[:, step] = np.where(wrong, chance.integers(0, 4, numbers), truth)
    count = numbers * 4
    source_at = np.tile([0, 1, 0, 1], numbers)
    return Marks(
        numbers=np.arange(numbers),
        number_at=np.repeat(np.arange(numbers), 4),
        label_at=4 * source_at + said.ravel(),
        source_at=source_at,
        weight=np.ones(count),
        occurred_ms=(at.ravel() * DAY_MS).astype(np.int64),
        reporter_at=np.full(count, -1),
        trait=np.full(count, trait),
        judges=np.ones(count, dtype=bool),
        mark_key=np.arange(count, dtype=np.uint64),
    )


@pytest.mark.parametrize("half_life_days", [15.0, 60.0, 240.0])
def test_the_rate_at_which_numbers_change_is_found(half_life_days):
    found = learn_half_lives(words(), history(half_life_days))

    assert found.days == pytest.approx(np.full(4, half_life_days), rel=0.3)
    assert found.standard_days.tolist() == [STANDARD_DAYS] * 4


def test_errors_of_the_sources_are_not_taken_for_age():
    careful = learn_half_lives(words(), history(60.0, error=0.0))
    careless = learn_half_lives(words(), history(60.0, error=0.5))

    assert careless.days == pytest.approx(careful.days, rel=0.35)


def test_too_few_pairs_leave_the_standard_as_it_is():
    found = learn_half_lives(words(), history(15.0, numbers=200))

    assert found.pairs.max() < MIN_PAIRS
    assert found.days.tolist() == [STANDARD_DAYS] * 4


def test_marks_that_may_not_testify_teach_nothing():
    found = learn_half_lives(words(), history(15.0, trait=SPREADS))

    assert found.pairs.tolist() == [0] * 4


def test_labels_take_the_half_life_of_what_they_mean_most():
    found = learn_half_lives(words(), history(15.0))

    vocabulary = found.of_labels(words())

    days = vocabulary.half_life_ms / DAY_MS
    assert days[:4].tolist() == days[4:].tolist() == found.days.tolist()

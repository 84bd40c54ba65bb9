"""The behaviour-only prior: what it learns from, whom it judges, and what it refuses."""

import numpy as np
import pytest

from services.common.errors import FailedPrecondition
from services.scoring import prior

NAMES = ("active_days", "calls_out_per_day", "night_ratio")
COUNT = 900
KINDS = np.array([0, 3101, 4100])


def numbers(count=COUNT):
    return (1 << 60) + 8613800138000 + np.arange(count, dtype=np.int64)


def city(seed, noise=0.6):
    """Behaviour that tells three kinds apart, and the kinds."""
    chance = np.random.default_rng(seed)
    kind = chance.integers(0, 3, COUNT)
    rows = chance.normal(size=(COUNT, 3)).astype(np.float32)
    rows[:, 0] = 20
    rows[:, 1] += kind / noise
    return rows, kind


def certain(kind):
    return prior.Targets(KINDS[kind][:, None], np.ones((len(kind), 1)), np.ones(len(kind)))


@pytest.fixture(scope="module")
def fitted():
    rows, kind = city(1)
    return prior.fit(NAMES, numbers(), rows, certain(kind), 0, "v")


def test_behaviour_tells_kinds_apart_better_than_their_base_rates(fitted):
    rows, kind = city(2)

    found = fitted.model.log_ratios(numbers(), rows)

    assert fitted.model.classes == (0, 3101, 4100)
    assert (found.argmax(axis=1) == kind).mean() > 0.6
    assert fitted.out_of_fold["log_loss"] < 0.8 * fitted.out_of_fold["base_log_loss"]


def test_nothing_is_said_where_no_carrier_tells_anything(fitted):
    rows, _ = city(2)
    rows[:5] = np.nan

    found = fitted.model.log_ratios(numbers(), rows)

    assert not found[:5].any()
    assert found[5:].any(axis=1).all()


def test_behaviour_alone_is_never_beyond_its_bound(fitted):
    rows, _ = city(3, noise=0.01)

    found = fitted.model.log_ratios(numbers(), rows)

    assert np.abs(found).max() <= prior.MAX_LOG_RATIO


def test_what_was_said_of_a_number_does_not_come_back_as_its_prior():
    rows, kind = city(1, noise=0.2)
    fold = prior.folds(numbers())
    other = kind.copy()
    other[fold == 0] = (kind[fold == 0] + 1) % 3

    one, two = (
        [
            booster.model_to_string(num_iteration=1)  # all of them are at least so long
            for booster in prior.fit(NAMES, numbers(), rows, certain(said), 0, "v").model.boosters
        ]
        for said in (kind, other)
    )

    assert one[0] == two[0]
    assert one[1] != two[1]
    assert np.bincount(fold, minlength=prior.FOLDS).min() > COUNT / prior.FOLDS / 2


def test_where_behaviour_tells_nothing_the_ratios_vanish():
    rows, _ = city(1)
    kind = np.random.default_rng(9).integers(0, 3, COUNT)

    model = prior.fit(NAMES, numbers(), rows, certain(kind), 0, "v").model

    assert np.abs(model.log_ratios(numbers(), rows)).mean() < 0.1


def test_the_temperature_tempers_ratios_that_claim_too_much():
    chance = np.random.default_rng(4)
    base = np.log(np.full((4_000, 2), 0.5))
    ratio = np.zeros((4_000, 2))
    ratio[:, 0] = np.where(chance.random(4_000) < 0.5, 2.0, -2.0)
    share = 1 / (1 + np.exp(-ratio[:, 0] / 2))
    first = (chance.random(4_000) < share).astype(float)

    found = prior.fitting_temperature(ratio, base, np.stack([first, 1 - first], axis=1))

    assert found == pytest.approx(0.5, abs=0.05)


def test_a_category_with_few_examples_is_told_with_its_group():
    few, many = int(prior.MIN_CLASS) + 1, int(prior.MIN_OWN) + 1
    category = np.repeat([0, 3101, 3200, 1100], [many, many, few, 3])[:, None]
    ones = np.ones(category.shape)

    targets = prior.Targets(category, ones, ones[:, 0])

    assert targets.classes() == (0, 3, 3101)
    assert targets.by_class((0, 3, 3101)).sum(axis=0).tolist() == [many, few, many]


def test_a_feature_that_is_not_there_is_refused_by_name(fitted):
    with pytest.raises(FailedPrecondition) as failure:
        fitted.model.columns(["active_days", "night_ratio"])

    assert failure.value.reason == "MODEL_FEATURES_MISMATCH"
    assert "calls_out_per_day" in failure.value.metadata["missing"]


def test_one_kind_alone_teaches_nothing():
    rows, kind = city(1)

    with pytest.raises(FailedPrecondition) as failure:
        prior.fit(NAMES, numbers(), rows, certain(np.zeros_like(kind)), 0, "v")

    assert failure.value.reason == "TRAINING_SET_TOO_SMALL"

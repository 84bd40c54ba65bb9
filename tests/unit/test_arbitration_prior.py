"""How far arbitration believes what behaviour says before any mark counts."""

from dataclasses import replace

import numpy as np
import pytest

from services.arbitration import domain, weighing
from services.arbitration.gold import Gold
from services.arbitration.learning import learn, settle_shares, sums_in_memory
from services.arbitration.prior import Told, best_weight, columns
from tests.unit.test_arbitration_domain import CATEGORIES, marks_of, vocabulary

COUNT = 240
CLASSES = (1, 3200, 4)


def crowd(seed):
    """Each number marked by two sources that are right in three of five; and what is true."""
    chance = np.random.default_rng(seed)
    truth = chance.integers(0, 3, COUNT)
    pairs = []
    for number in range(COUNT):
        for source in range(2):
            right = chance.random() < 0.6
            said = truth[number] if right else chance.integers(0, 3)
            pairs.append((number, 3 * source + int(said)))
    return pairs, truth


def told_of(kind, strength=2.0):
    """Behaviour that says of each number that it is of a kind."""
    ratio = np.full((COUNT, 3), -strength / 2, dtype=np.float32)
    ratio[np.arange(COUNT), kind] = strength
    return Told(CLASSES, np.arange(COUNT), ratio).of(np.arange(COUNT), CATEGORIES)


def judged(pairs, prior):
    marks = marks_of(pairs, COUNT)
    found = learn(vocabulary(), marks, {}, prior=prior)
    cells = weighing.weigh_by(marks, vocabulary(), found).cells
    told = prior.weighing(found.prior_weight) if prior else None
    rows = None if told is None else told.rows(0, COUNT)
    return found, domain.posterior(cells, found, prior=rows)[:, 1:].argmax(axis=1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_behaviour_that_foretells_marks_is_believed_and_helps(seed):
    pairs, truth = crowd(seed)
    chance = np.random.default_rng(seed)
    kind = np.where(chance.random(COUNT) < 0.8, truth, chance.integers(0, 3, COUNT))

    found, said = judged(pairs, told_of(kind))
    alone = judged(pairs, None)[1]

    assert found.prior_weight >= 0.5
    assert (said == truth).mean() > (alone == truth).mean() + 0.03


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_behaviour_that_foretells_nothing_is_not_believed(seed):
    pairs, _ = crowd(seed)
    kind = np.random.default_rng(seed + 50).integers(0, 3, COUNT)

    found, said = judged(pairs, told_of(kind))

    assert found.prior_weight == 0.0
    assert (said == judged(pairs, None)[1]).all()


def test_what_labels_mean_does_not_depend_on_behaviour():
    pairs, truth = crowd(1)

    found = judged(pairs, told_of(truth))[0]
    alone = judged(pairs, None)[0]

    assert found.prior_weight > 0.5
    assert (found.log_confusion == alone.log_confusion).all()
    assert (found.log_noise == alone.log_noise).all()
    assert np.abs(np.exp(found.log_prior) - np.exp(alone.log_prior)).max() > 0.01


def test_shares_of_categories_come_out_the_same_from_any_beginning():
    pairs, truth = crowd(2)
    marks, prior = marks_of(pairs, COUNT), told_of(truth)
    start = domain.starting_accuracies(vocabulary(), np.ones(len(vocabulary().labels)))
    sums = sums_in_memory(weighing.weigh_by(marks, vocabulary(), start), Gold.of({}), prior)
    begins = np.random.default_rng(5).dirichlet(np.full(len(CATEGORIES), 0.5), 4) + 1e-9

    ends = [
        np.exp(settle_shares(sums, replace(start, log_prior=np.log(b)), start, 300, 0.0).log_prior)
        for b in begins
    ]

    assert np.abs(begins[1:] - begins[0]).max() > 0.1
    assert np.abs(np.array(ends[1:]) - ends[0]).max() < 1e-6


@pytest.mark.parametrize("top", [0.3, 0.55, 0.9])
def test_the_weight_lies_between_the_steps_where_marks_are_foretold_best(top):
    marks = np.ones(50)

    found = best_weight(lambda weight: np.full(50, np.exp(-((weight - top) ** 2))), marks)

    assert found == pytest.approx(top)


def test_the_weight_stays_within_its_range():
    marks = np.ones(50)

    assert best_weight(lambda weight: np.full(50, np.exp(weight - 2.0)), marks) == 1.0
    assert best_weight(lambda weight: np.full(50, np.exp(-weight)), marks) == 0.0
    assert best_weight(lambda weight: np.full(50, 0.5), np.zeros(50)) == 0.0


def test_a_category_has_the_ratio_of_its_own_class_or_of_its_group():
    categories = np.array([0, 1100, 3101, 3200, 9000], dtype=np.uint16)

    assert columns((1, 3, 3200), categories).tolist() == [3, 0, 1, 2, 3]
    assert columns((0, 3), categories).tolist() == [0, 2, 1, 1, 2]


def test_a_number_of_which_nothing_is_told_keeps_the_common_prior():
    told = Told((1,), np.array([3, 7]), np.array([[1.0], [2.0]], dtype=np.float32))

    found = told.of(np.array([2, 3, 7, 9]), np.array([0, 1100], dtype=np.uint16))

    assert found.rows(0, 4).tolist() == [[0, 0], [0, 1.0], [0, 2.0], [0, 0]]

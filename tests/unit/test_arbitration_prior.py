"""How far arbitration believes what behaviour says before any mark counts."""

import numpy as np
import pytest

from services.arbitration import domain, weighing
from services.arbitration.learning import learn
from services.arbitration.prior import Told, columns
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


def test_a_category_has_the_ratio_of_its_own_class_or_of_its_group():
    categories = np.array([0, 1100, 3101, 3200, 9000], dtype=np.uint16)

    assert columns((1, 3, 3200), categories).tolist() == [3, 0, 1, 2, 3]
    assert columns((0, 3), categories).tolist() == [0, 2, 1, 1, 2]


def test_a_number_of_which_nothing_is_told_keeps_the_common_prior():
    told = Told((1,), np.array([3, 7]), np.array([[1.0], [2.0]], dtype=np.float32))

    found = told.of(np.array([2, 3, 7, 9]), np.array([0, 1100], dtype=np.uint16))

    assert found.rows(0, 4).tolist() == [[0, 0], [0, 1.0], [0, 2.0], [0, 0]]

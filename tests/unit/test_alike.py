"""How unusual a number's behaviour is, against a sample of numbers."""

import numpy as np
import pytest

from services.features.alike import NEIGHBOURS, SAMPLE, References
from services.features.similar.embedding import TRAITS

E164 = 1 << 60


def behaving(numbers, seed=1):
    """Traits of numbers that call much alike, as columns."""
    rng = np.random.default_rng(seed)
    columns = {name: rng.uniform(0.9, 1.1, len(numbers)) for name in TRAITS}
    return columns | {"active_days": np.full(len(numbers), 20.0)}


def matrix(columns):
    return np.stack([columns[name] for name in TRAITS], axis=1).astype(np.float32)


@pytest.fixture
def numbers():
    return E164 + 8613800138000 + np.arange(200, dtype=np.int64) * 7


def test_what_calls_like_nobody_else_is_far_from_all(numbers):
    columns = behaving(numbers)
    columns["calls_out_per_day"][17] = 900.0
    columns["ring_only_ratio"][17] = 0.99

    found = References.sample(numbers, matrix(columns)).distances(numbers, columns)

    assert found.argmax() == 17
    assert found[17] > 1.2 * np.delete(found, 17).max()


def test_a_number_is_no_neighbour_of_its_own(numbers):
    columns = behaving(numbers)
    own = References.sample(numbers, matrix(columns))
    without = References.sample(numbers[1:], matrix(columns)[1:])

    first = {name: column[:1] for name, column in columns.items()}

    # The scale of one number in two hundred differs a little.
    assert own.distances(numbers[:1], first) == pytest.approx(
        without.distances(numbers[:1], first), rel=0.05
    )


def test_one_alone_is_told_what_it_is_told_among_all(numbers):
    columns = behaving(numbers)
    references = References.sample(numbers, matrix(columns))

    among = references.distances(numbers, columns)
    alone = [
        references.distances(numbers[i : i + 1], {n: c[i : i + 1] for n, c in columns.items()})[0]
        for i in range(20)
    ]

    assert alone == pytest.approx(among[:20], abs=1e-3)


def test_without_behaviour_or_without_others_nothing_is_known(numbers):
    columns = behaving(numbers)
    columns["active_days"][3] = np.nan
    few = References.sample(numbers[:NEIGHBOURS], matrix(columns)[:NEIGHBOURS])

    assert np.isnan(References.sample(numbers, matrix(columns)).distances(numbers, columns)[3])
    assert np.isnan(few.distances(numbers, columns)).all()
    assert np.isnan(References.nobody().distances(numbers, columns)).all()


def test_many_are_compared_with_the_same_sample_every_time():
    numbers = E164 + np.arange(SAMPLE + 500, dtype=np.int64)
    values = np.ones((len(numbers), len(TRAITS)), dtype=np.float32)

    one = References.sample(numbers, values)
    other = References.sample(numbers[:-1], values[:-1])

    assert len(one.numbers) == SAMPLE
    assert (np.diff(one.numbers) > 0).all()
    assert len(np.intersect1d(one.numbers, other.numbers)) >= SAMPLE - 1

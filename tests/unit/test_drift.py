"""Drift: the population stability index of features and scores against a reference."""

import numpy as np
import pytest

from services.scoring import drift
from services.scoring.drift import ALARM, NOTICE, Reference

NAMES = ("steady", "count", "unknown")


def population(seed, count=20_000, shift=0.0, unknown=0.2):
    chance = np.random.default_rng(seed)
    rows = np.column_stack(
        [
            chance.normal(shift, 1, count),
            chance.poisson(0.3, count),
            np.where(chance.random(count) < unknown, np.nan, chance.random(count)),
        ]
    ).astype(np.float32)
    return rows, chance.beta(1, 9, count)


def reference(count=20_000):
    rows, risk = population(1, count)
    return Reference.of(NAMES, rows, risk, np.ones(count, dtype=np.float32), seed=0)


def found(made, rows, risk):
    return dict(zip(made.names, made.indices(made.count(rows, risk)), strict=True))


def test_the_same_population_has_not_drifted():
    indices = found(reference(), *population(2))

    assert set(indices) == {*NAMES, drift.SCORE}
    assert max(indices.values()) < NOTICE / 10


def test_a_shift_is_seen_in_its_column_alone_and_as_large_as_the_formula_says():
    rows, risk = population(2, shift=0.6)

    indices = found(reference(), rows, risk)

    # Of a normal law moved by d standard deviations the index tends to d * d in ever finer bins.
    assert ALARM < indices.pop("steady") == pytest.approx(0.36, rel=0.1)
    assert max(indices.values()) < NOTICE / 10


def test_what_becomes_unknown_is_drift():
    indices = found(reference(), *population(2, unknown=0.6))

    expected = (0.6 - 0.2) * np.log(0.6 / 0.2) + (0.4 - 0.8) * np.log(0.4 / 0.8)
    assert indices["unknown"] == pytest.approx(expected, rel=0.05)


def test_a_column_that_was_never_known_and_now_is_has_drifted():
    rows, risk = population(1)
    before = rows.copy()
    before[:, 2] = np.nan
    made = Reference.of(NAMES, before, risk, np.ones(len(rows), np.float32), seed=0)

    assert found(made, before, risk)["unknown"] < NOTICE
    assert found(made, rows, risk)["unknown"] > ALARM


def test_counts_of_parts_add_up_to_those_of_the_whole():
    made = reference()
    rows, risk = population(3, 1_000)

    parts = made.count(rows[:300], risk[:300]) + made.count(rows[300:], risk[300:])

    assert (parts == made.count(rows, risk)).all()
    assert (parts.sum(axis=1) == 1_000).all()


def test_a_row_that_stands_for_many_counts_as_many():
    rows, risk = population(1, 4_000)
    high = rows[:, 0] > 0
    weights = np.where(high, 1, 9).astype(np.float32)

    made = Reference.of(NAMES, rows, risk, weights, seed=0)

    low_share = sum(made.shares[0][: int(np.searchsorted(made.edges[0], 0))])
    assert low_share == pytest.approx(0.9, abs=0.08)


def test_a_reference_is_read_as_it_was_written():
    made = reference(500)

    assert Reference.read(made.text()) == made

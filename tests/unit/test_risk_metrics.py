"""Figures of a risk model: against scikit-learn, and with rows that stand for several."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from services.scoring.domain import fit, metrics


def judged(seed=1, count=500):
    chance = np.random.default_rng(seed)
    risk = np.round(chance.random(count), 2)  # with ties
    return risk, chance.random(count) < risk


def test_the_figures_are_those_of_scikit_learn():
    risk, bad = judged()

    found = metrics(risk, bad, np.ones(len(bad), dtype=np.float32))

    assert found["auc"] == pytest.approx(roc_auc_score(bad, risk))
    assert found["pr_auc"] == pytest.approx(average_precision_score(bad, risk))
    assert found["brier"] == pytest.approx(brier_score_loss(bad, risk))


def test_a_row_of_weight_two_counts_as_two_rows():
    risk, bad = judged()
    weights = np.where(np.arange(len(bad)) % 3, 1, 2)
    twice = np.repeat(np.arange(len(bad)), weights)

    weighted = metrics(risk, bad, weights.astype(np.float32))

    assert weighted == pytest.approx(metrics(risk[twice], bad[twice], np.ones(len(twice))))


def test_weights_move_the_calibration_and_leave_the_trees():
    chance = np.random.default_rng(2)
    rows = chance.normal(size=(600, 4)).astype(np.float32)
    bad = chance.random(600) < 1 / (1 + np.exp(-2 * rows[:, 0]))
    graded, ones = bad.astype(np.float32), np.ones(600, dtype=np.float32)
    numbers = np.arange(600)

    trees, slope, intercept, *_ = fit(rows, bad, graded, ones, numbers, 0)
    same, _, lower, *_ = fit(rows, bad, graded, np.where(bad, ones, 10 * ones), numbers, 0)

    assert same.model_to_string() == trees.model_to_string()
    assert slope > 0
    assert lower < intercept - 1

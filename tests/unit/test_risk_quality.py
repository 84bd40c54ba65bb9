"""Figures of a risk model on times and numbers kept apart, and of parts of the rows."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from services.scoring import domain, quality

NAMES = ("marks_count", "tenure_days", "number_kind")


def judged(seed=1, count=400):
    chance = np.random.default_rng(seed)
    rows = np.column_stack(
        [chance.integers(0, 6, count), chance.uniform(0, 200, count), np.ones(count)]
    ).astype(np.float32)
    rows[:60, 2] = 2
    risk = chance.random(count)
    bad = chance.random(count) < risk
    bad[:60] = False
    return rows, risk, bad, np.ones(count, dtype=np.float32)


def test_a_slice_has_the_figures_of_its_rows():
    rows, risk, bad, weights = judged()

    found = quality.slices(NAMES, rows, risk, bad, weights, weights > 0)

    few = rows[:, 0] <= 2
    assert found["few_marks"]["row_count"] == few.sum()
    assert found["few_marks"]["auc"] == pytest.approx(roc_auc_score(bad[few], risk[few]))
    assert found["new_tenure"]["row_count"] == (rows[:, 1] <= 90).sum()
    assert {"number_kind=CN_MOBILE", "number_kind=CN_FIXED"} < set(found)


def test_a_slice_without_a_class_has_no_ranking_and_is_still_json():
    rows, risk, bad, weights = judged()

    found = quality.slices(NAMES, rows, risk, bad, weights, weights > 0)["number_kind=CN_FIXED"]

    assert found["positive_count"] == 0
    assert "auc" not in found
    assert found["brier"] == pytest.approx(np.mean(risk[:60] ** 2))
    json.dumps(found, allow_nan=False)


def test_a_slice_of_few_rows_and_one_of_unknown_feature_are_left_out():
    rows, risk, bad, weights = judged()
    rows[:, 1] = np.nan
    rows[60:, 2] = np.nan
    rows[:20, 2] = 3

    found = quality.slices(NAMES, rows, risk, bad, weights, weights > 0)

    assert set(found) == {"few_marks"}


def test_rows_that_are_not_judged_are_in_no_slice():
    rows, risk, bad, weights = judged()
    half = np.arange(len(bad)) % 2 == 0

    found = quality.slices(NAMES, rows, risk, bad, weights, half)

    assert found["few_marks"]["row_count"] == ((rows[:, 0] <= 2) & half).sum()


def test_no_more_rows_are_used_than_are_allowed(monkeypatch):
    monkeypatch.setattr(quality, "MAX_ROWS", 400)

    found = quality.kept_apart(*snapshots(flip=False), trees=60, seed=0)

    assert found["time_split"]["row_count"] == 400
    assert 0 < found["group_split"]["row_count"] < 400
    assert found["group_split"]["auc"] > 0.8


def snapshots(flip):
    """Two times of 900 numbers; after the first, what a feature means may turn round."""
    chance = np.random.default_rng(5)
    rows = chance.normal(size=(1_800, 3)).astype(np.float32)
    early = np.arange(1_800) < 900
    bad = rows[:, 0] + chance.normal(size=1_800) / 2 > 0
    bad[~early] ^= flip
    numbers = np.tile(np.arange(900), 2)
    return rows, bad, bad.astype(np.float32), np.ones(1_800, np.float32), numbers, early, ~early


def test_what_was_kept_apart_is_not_learned_from():
    same = quality.kept_apart(*snapshots(flip=False), trees=60, seed=0)
    turned = quality.kept_apart(*snapshots(flip=True), trees=60, seed=0)

    assert same["time_split"]["auc"] > 0.8
    assert same["group_split"]["auc"] > 0.8
    assert turned["time_split"]["auc"] < 0.2
    assert same["time_split"]["row_count"] == 900
    assert same["group_split"]["row_count"] == 300


def test_without_earlier_rows_nothing_is_split_by_time():
    rows, bad, graded, weights, numbers, early, later = snapshots(flip=False)

    found = quality.kept_apart(
        rows, bad, graded, weights, numbers, early & (numbers < 30), later, trees=5, seed=0
    )

    assert found == {}


def test_rows_of_one_number_are_in_one_fold_and_folds_are_equally_many_numbers():
    numbers = np.repeat(np.arange(300), 3)

    fold = domain.fold_of(numbers, seed=3)

    assert (fold.reshape(300, 3) == fold[::3, None]).all()
    assert np.bincount(fold[::3]).tolist() == [100, 100, 100]

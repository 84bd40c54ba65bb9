"""Truth inference: probabilities that are right, calibrated, and the same however rows come."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.arbitration.truth import (
    UNKNOWN,
    DawidSkene,
    LabelArbiter,
    MajorityVote,
    posterior,
    tabulate,
)
from services.arbitration.truth.calibration import Calibration, calibrate
from services.arbitration.truth.presence import label_purity, presence_posterior
from services.common.errors import InvalidArgument

ESTIMATORS = [MajorityVote, DawidSkene, LabelArbiter]


def crowd(seed, tasks=600, workers=30, classes=4, each=7, skill=(0.5, 0.95), confused=0.0):
    """Answers of workers of differing skill; `confused`: share of class 1 that all call 0."""
    chance = np.random.default_rng(seed)
    truth = chance.integers(0, classes, tasks)
    task = np.repeat(np.arange(tasks), each)
    worker = np.concatenate([chance.permutation(workers)[:each] for _ in range(tasks)])
    right = chance.random(len(task)) < chance.uniform(*skill, workers)[worker]
    wrong = (truth[task] + chance.integers(1, classes, len(task))) % classes
    label = np.where(right, truth[task], wrong)
    label[(truth[task] == 1) & (chance.random(len(task)) < confused)] = 0
    return task, worker, label, truth


def accuracy(found, truth):
    return float((found.posterior_.argmax(axis=1) == truth).mean())


ANSWERS = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60
)


@pytest.mark.parametrize("kind", ESTIMATORS)
@given(rows=ANSWERS, seed=st.integers(0, 5))
def test_any_answers_give_probabilities_that_do_not_depend_on_their_order(kind, rows, seed):
    task, worker, label = np.array(rows).T
    mixed = np.random.default_rng(seed).permutation(len(rows))

    one = kind().fit(task, worker, label, n_classes=4)
    other = kind().fit(task[mixed], worker[mixed], label[mixed], n_classes=4)

    assert np.allclose(one.posterior_.sum(axis=1), 1)
    assert one.posterior_.min() >= 0
    assert np.allclose(one.posterior_, other.posterior_, atol=1e-6)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_gold_is_certain_and_everything_else_is_not_lost(kind):
    task, worker, label, truth = crowd(1, tasks=50)
    gold = np.full(50, UNKNOWN)
    gold[[3, 9]] = (truth[[3, 9]] + 1) % 4

    found = kind().fit(task, worker, label, gold=gold, n_classes=4)

    assert found.posterior_.shape == (50, 4)
    assert found.posterior_[[3, 9]].argmax(axis=1).tolist() == gold[[3, 9]].tolist()
    assert found.posterior_[[3, 9]].max(axis=1).tolist() == [1, 1]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_confusions_are_found_where_the_majority_errs(seed):
    task, worker, label, truth = crowd(seed, confused=0.3, skill=(0.4, 0.95))

    votes = MajorityVote().fit(task, worker, label)
    found = LabelArbiter().fit(task, worker, label)

    assert accuracy(found, truth) >= accuracy(votes, truth) + 0.01


@pytest.mark.parametrize("each", [1, 2, 3])
def test_with_little_data_it_is_no_worse_than_the_majority(each):
    gained = []
    for seed in range(30):
        task, worker, label, truth = crowd(seed, tasks=40, workers=12, each=each)
        votes = MajorityVote().fit(task, worker, label, n_classes=4).posterior_
        found = LabelArbiter().fit(task, worker, label, n_classes=4)
        leads = np.isclose(votes, votes.max(axis=1, keepdims=True))
        credit = leads[np.arange(40), truth] / leads.sum(axis=1)  # a tie shares it
        gained.append(accuracy(found, truth) - credit.mean())

    assert np.mean(gained) >= -0.005


def test_likelihood_never_falls_from_one_iteration_to_the_next():
    task, worker, label, _ = crowd(5, tasks=200)

    path = DawidSkene(tolerance=-np.inf, max_iter=40).fit(task, worker, label).log_likelihoods_

    assert len(path) == 40
    assert np.diff(path).min() > -1e-6


@pytest.mark.parametrize("each", [7, 1], ids=["of a crowd", "of one huge task and empty ones"])
def test_a_fit_in_parts_is_that_of_the_whole(monkeypatch, each):
    task, worker, label, truth = crowd(8, each=each)
    task = task if each > 1 else np.full(len(task), 3)
    gold = np.where(np.arange(600) % 9 == 0, truth, UNKNOWN)
    whole = DawidSkene().fit(task, worker, label, gold=gold, n_tasks=600)
    monkeypatch.setattr("services.arbitration.truth.answers._ALONE_ANSWERS", 1)

    parted = DawidSkene().fit(task, worker, label, gold=gold, n_tasks=600)

    assert parted.n_iter_ == whole.n_iter_
    assert np.allclose(parted.posterior_, whole.posterior_, atol=1e-9)
    assert np.allclose(parted.confusion_, whole.confusion_, atol=1e-9)
    assert np.allclose(parted.log_likelihoods_, whole.log_likelihoods_)


def test_the_posterior_of_fixed_accuracies_is_that_of_the_fit():
    task, worker, label, _ = crowd(6, tasks=80)
    found = DawidSkene(max_iter=60, tolerance=-np.inf).fit(task, worker, label)

    again = posterior(
        task, worker, label, None,
        np.tile(np.log(found.class_prior_), (80, 1)), np.log(found.confusion_),
    )  # fmt: skip

    assert np.allclose(again, found.posterior_, atol=1e-3)


def test_a_touched_task_alone_has_the_posterior_it_has_among_all():
    task, worker, label, _ = crowd(7, tasks=80)
    found = DawidSkene().fit(task, worker, label)
    prior, table = np.log(found.class_prior_)[None, :], np.log(found.confusion_)
    whole = posterior(task, worker, label, None, np.repeat(prior, 80, axis=0), table)
    only = task == 42

    alone = posterior(np.zeros(only.sum(), int), worker[only], label[only], None, prior, table)

    assert np.allclose(alone[0], whole[42], atol=1e-12)


def test_an_answer_of_half_a_weight_counts_half():
    found = MajorityVote().fit([0, 0], [0, 1], [0, 1], weight=[1.0, 0.5])

    assert found.posterior_[0].tolist() == pytest.approx([2 / 3, 1 / 3])


def test_a_label_of_several_classes_votes_for_all_of_them():
    found = MajorityVote().fit([0], [0], [0], support=[[0.7, 0.3, 0.0], [0, 0, 1]])

    assert found.posterior_[0].tolist() == pytest.approx([0.7, 0.3, 0.0])


def test_what_is_known_from_outside_decides_where_nobody_answered():
    prior = [[0.9, 0.1], [0.2, 0.8]]

    found = LabelArbiter().fit([0], [0], [0], prior=prior, n_tasks=2, n_classes=2)

    assert found.posterior_[1].tolist() == pytest.approx([0.2, 0.8], abs=1e-6)


def test_workers_intervals_hold_their_true_accuracy_as_often_as_they_say():
    task, worker, label, truth = crowd(8, tasks=2000, workers=60, each=9)
    found = LabelArbiter().fit(task, worker, label)
    right = np.bincount(worker, label == truth[task], minlength=60) / np.bincount(worker)

    low, high = found.worker_accuracy_interval_.T

    assert np.mean((low <= right) & (right <= high)) >= 0.9
    assert np.corrcoef(found.worker_accuracy_, right)[0, 1] > 0.95


def test_gold_makes_overconfident_probabilities_honest_and_keeps_the_order():
    chance = np.random.default_rng(3)
    stated = np.full((400, 2), 0.05)
    stated[:, 0] = 0.95
    truth = (chance.random(400) > 0.7).astype(int)

    found = calibrate(stated, truth)
    after = found.apply(stated)

    assert after[0, 0] == pytest.approx(0.7, abs=0.05)
    assert after.sum(axis=1).tolist() == pytest.approx([1.0] * 400)
    assert calibrate(stated[:0], truth[:0]) == Calibration()


def test_sources_that_always_say_one_thing_are_told_from_a_crowd_that_reads():
    task, worker, label, _ = crowd(9)
    rules = tabulate(task, label, label)
    people = tabulate(task, worker, label)

    assert label_purity(rules) == pytest.approx(1.0)
    assert label_purity(people) < 0.1


def test_gold_tells_which_of_two_rules_is_right_where_they_contradict_each_other():
    # Rule 0 says class 0 and is nearly always right; rule 1 says class 1 on half of the same tasks
    # and is mostly wrong. Rule 2 is right, elsewhere.
    chance = np.random.default_rng(8)
    truth = np.append(np.where(chance.random(200) < 0.9, 0, 1), np.ones(200, dtype=int))
    task = np.concatenate([np.arange(200), np.arange(100), np.arange(200, 400)])
    worker = np.repeat([0, 1, 2], [200, 100, 200])
    label = np.repeat([0, 1, 1], [200, 100, 200])
    gold = np.full(400, UNKNOWN)
    gold[:50] = truth[:50]
    contradicted = np.arange(50, 100)

    without = presence_posterior(tabulate(task, worker, label))
    taught = presence_posterior(tabulate(task, worker, label, gold=gold))

    assert taught[contradicted, 0].mean() > max(without[contradicted, 0].mean(), 0.8)


def test_a_task_with_gold_is_judged_by_presence_without_its_own():
    task, worker, label = np.arange(40), np.repeat([0, 1], 20), np.repeat([0, 1], 20)
    gold = np.full(40, UNKNOWN)
    gold[0] = 1

    taught = presence_posterior(tabulate(task, worker, label, gold=gold))
    other = presence_posterior(tabulate(task, worker, label, gold=np.where(gold == 1, 0, gold)))

    assert taught[0] == pytest.approx(other[0], abs=0.02)
    assert taught[1, 0] < other[1, 0] - 0.02


@pytest.mark.parametrize(
    ("columns", "reason", "field"),
    [
        ({"task": [0.5]}, "FIELD_OUT_OF_RANGE", "task"),
        ({"worker": [-1]}, "FIELD_OUT_OF_RANGE", "worker"),
        ({"label": [0, 1]}, "COLUMN_LENGTH_MISMATCH", "label"),
        ({"weight": [1.5]}, "FIELD_OUT_OF_RANGE", "weight"),
        ({"weight": [1.0, 1.0]}, "COLUMN_LENGTH_MISMATCH", "weight"),
        ({"gold": [7]}, "FIELD_OUT_OF_RANGE", "gold"),
        ({"prior": [0.5]}, "COLUMN_LENGTH_MISMATCH", "prior"),
        ({"prior": [0.0, 0.0]}, "FIELD_OUT_OF_RANGE", "prior"),
        ({"support": [[0.0, 0.0]]}, "FIELD_OUT_OF_RANGE", "support"),
        ({"n_tasks": 0}, "FIELD_OUT_OF_RANGE", "task"),
    ],
)
def test_answers_that_make_no_sense_are_refused_by_name(columns, reason, field):
    given = {"task": [0], "worker": [0], "label": [0], "n_classes": 2, **columns}

    with pytest.raises(InvalidArgument) as caught:
        tabulate(given.pop("task"), given.pop("worker"), given.pop("label"), **given)

    assert (caught.value.reason, caught.value.metadata["field"]) == (reason, field)

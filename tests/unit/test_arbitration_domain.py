"""Marks are weighed against each other as the model says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.arbitration import domain

DAY = domain.DAY_MS
CATEGORIES = np.array([0, 1100, 3200, 4100], dtype=np.uint16)


def vocabulary(sources=2):
    """Sources with a word for each of three categories."""
    return domain.Vocabulary(
        labels=np.arange(1, 3 * sources + 1, dtype=np.uint64),
        sources=np.repeat(np.arange(7, 7 + sources, dtype=np.uint64), 3),
        categories=CATEGORIES,
        meaning=np.tile(np.eye(4)[1:], (sources, 1)),
        half_life_ms=np.full(3 * sources, 90.0 * DAY),
    )


def marks_of(pairs, count):
    number_at, label_at = (np.array(c, dtype=np.int64) for c in zip(*sorted(pairs), strict=True))
    size = len(number_at)
    return domain.Marks(
        np.arange(count), number_at, label_at, np.ones(size), np.zeros(size, np.int64),
        np.arange(1, size + 1, dtype=np.uint64),
    )  # fmt: skip


def test_the_newest_mark_of_a_reporter_stands_and_unknown_reporters_all_stand():
    stands = domain.latest_of_reporter(
        np.array([1, 1, 1, 1, 2]), np.zeros(5, np.int64),
        np.array([5, 5, 0, 0, 5], dtype=np.uint64), np.array([10, 20, 10, 20, 5]),
    )  # fmt: skip

    assert stands.tolist() == [False, True, True, True, True]


@pytest.mark.parametrize(
    ("age_days", "proof", "kind", "weight"),
    [(0, True, 1, 1.0), (90, True, 1, 0.5), (0, False, 1, 0.5), (0, False, 3, 0.25)],
)
def test_a_mark_weighs_by_age_proof_and_kind(age_days, proof, kind, weight):
    found = domain.mark_weights(
        np.array([age_days * DAY]), np.array([90.0 * DAY]), np.array([proof]), np.array([True]),
        np.array([kind], dtype=np.uint8),
    )  # fmt: skip

    assert found.tolist() == [weight]


def test_a_mark_alone_counts_in_full_however_old():
    found = domain.compare(np.array([0, 1, 1]), np.array([0.01, 1.0, 0.25]), 2)

    assert found.tolist() == [1.0, 1.0, 0.5]


def test_many_marks_of_one_source_count_as_one_plus_their_logarithm():
    weights, kish = domain.saturate(marks_of([(0, 0)] * 10, 1), vocabulary().sources)

    assert weights.sum() == pytest.approx(1 + np.log(10))
    assert kish.tolist() == [1.0]


def test_two_sources_of_equal_weight_are_two_effective_sources():
    _, kish = domain.saturate(marks_of([(0, 0), (0, 3)], 1), vocabulary().sources)

    assert kish.tolist() == [2.0]


def test_learning_finds_which_source_is_wrong_and_beats_the_vote():
    random = np.random.default_rng(3)
    truth = random.integers(0, 3, 600)
    right_ratio = (0.95, 0.9, 0.4)
    pairs = [
        (i, 3 * source + int(truth[i] if random.random() < ratio else random.integers(0, 3)))
        for source, ratio in enumerate(right_ratio)
        for i in range(600)
    ]
    words = vocabulary(sources=3)
    weights, _ = domain.saturate(marks_of(pairs, 600), words.sources)

    accuracies = domain.learn(words, weights, {})

    said = domain.posterior(weights, accuracies).argmax(axis=1) - 1
    right = [np.exp(accuracies.log_confusion)[3 * s : 3 * s + 3, 1:].trace() / 3 for s in range(3)]
    voted = (weights @ words.meaning).argmax(axis=1) - 1
    assert (said == truth).mean() > (voted == truth).mean()
    assert right[0] > right[1] > right[2]


def test_a_decision_teaches_what_a_label_means():
    pairs = [(i, 0) for i in range(60)]
    weights, _ = domain.saturate(marks_of(pairs, 60), vocabulary().sources)

    without = domain.learn(vocabulary(), weights, {})
    with_gold = domain.learn(vocabulary(), weights, dict.fromkeys(range(50), 2))

    before, after = (domain.posterior(weights, a)[59] for a in (without, with_gold))
    assert before.argmax() == 1
    assert after[2] > 10 * before[2]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=40))
def test_the_posterior_of_some_numbers_is_that_of_all(pairs):
    accuracies = domain.starting_accuracies(vocabulary(), np.ones(6))
    weights, _ = domain.saturate(marks_of(pairs, 10), vocabulary().sources)
    touched = sorted({number for number, _ in pairs})[:3]

    whole = domain.posterior(weights, accuracies)
    part = domain.posterior(weights[touched], accuracies)

    assert np.allclose(part, whole[touched])
    assert np.allclose(whole.sum(axis=1), 1)

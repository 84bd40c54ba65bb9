"""Marks are weighed against each other as the model says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.arbitration import domain, weighing
from services.arbitration.honesty import (
    LEVELS,
    QUARANTINE,
    TRAITS,
    expected_strata,
    starting_honesty,
)
from services.arbitration.learning import learn

DAY = domain.DAY_MS
PROVEN, UNPROVEN = 2 * TRAITS // 12, TRAITS // 4 + 2 * TRAITS // 12  # accounts known for long
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


def marks_of(pairs, count, trait=0):
    """Marks with a call (unless another trait is given), each by a reporter of its own."""
    number_at, label_at = (np.array(c, dtype=np.int64) for c in zip(*sorted(pairs), strict=True))
    size = len(number_at)
    return domain.Marks(
        numbers=np.arange(count),
        number_at=number_at,
        label_at=label_at,
        source_at=label_at // 3,
        weight=np.ones(size),
        occurred_ms=np.arange(size) * DAY,
        reporter_at=np.full(size, -1),
        trait=np.full(size, trait or PROVEN),
        judges=np.ones(size, dtype=bool),
        mark_key=np.arange(size, dtype=np.uint64) * 2,
    )


def weighed(pairs, count, words=None, level=0.95, copying=None):
    words = words or vocabulary()
    marks = marks_of(pairs, count)
    levels = np.full(len(marks.number_at), int(np.searchsorted(LEVELS, level)))
    none = np.zeros((words.source_count, words.source_count))
    return weighing.weigh(marks, levels, words, none if copying is None else copying)


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
    found = weighed([(0, 0)] * 10, 1, level=0.98)

    assert found.cells.sum() * 0.98 == pytest.approx(1 + np.log(9.8))
    assert found.effective_sources.tolist() == [1.0]


def test_two_sources_of_equal_weight_are_two_effective_sources():
    assert weighed([(0, 0), (0, 3)], 1).effective_sources.tolist() == [2.0]


def test_a_copied_word_counts_by_the_share_that_is_its_own():
    copying = np.array([[0.0, 0.75], [0.0, 0.0]])

    echoed = weighed([(0, 0), (0, 3)], 1, copying=copying)
    differing = weighed([(0, 0), (0, 4)], 1, copying=copying)

    assert echoed.pair_own.tolist() == [1.0, 0.25]
    assert differing.pair_own.tolist() == [1.0, 1.0]


def test_marks_in_quarantine_weigh_nothing():
    assert weighed([(0, 0)] * 12, 1, level=0.35).cells.sum() == 0


def test_a_mark_without_a_call_that_repeats_a_lie_is_worth_no_more_than_it():
    words = vocabulary()
    marks = marks_of([(0, 0), (0, 3)], 1, trait=UNPROVEN)
    honesty = starting_honesty(2)
    honesty.stratum[0] = 0.05

    levels = weighing.mark_levels(marks, words, honesty)
    alone = weighing.mark_levels(marks_of([(0, 3)], 1, trait=UNPROVEN), words, honesty)

    assert LEVELS[levels].tolist() == [0.05, 0.05]
    assert LEVELS[alone][0] > 0.5


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

    accuracies = learn(words, marks_of(pairs, 600), {})

    cells = weighed(pairs, 600, words, level=0.9).cells
    said = domain.posterior(cells, accuracies).argmax(axis=1) - 1
    right = [np.exp(accuracies.log_confusion)[3 * s : 3 * s + 3, 1:].trace() / 3 for s in range(3)]
    voted = (cells @ np.repeat(words.meaning, len(LEVELS), axis=0)).argmax(axis=1) - 1
    assert (said == truth).mean() > (voted == truth).mean()
    assert right[0] > right[1] > right[2]


def test_a_decision_teaches_what_a_label_means():
    pairs = [(i, 0) for i in range(60)]
    marks = marks_of(pairs, 60)

    without = learn(vocabulary(), marks, {})
    with_gold = learn(vocabulary(), marks, dict.fromkeys(range(50), 2))

    cells = weighed(pairs, 60).cells
    before, after = (domain.posterior(cells, a)[59] for a in (without, with_gold))
    assert before.argmax() == 1
    assert after[2] > 10 * before[2]


def test_a_source_that_repeats_the_errors_of_another_is_found_to_copy():
    random = np.random.default_rng(5)
    truth = random.integers(0, 3, 900)
    pairs = []
    for i in range(900):
        said = [int(truth[i] if random.random() < 0.75 else random.integers(0, 3)) for _ in "abcd"]
        if random.random() < 0.8:
            said[3] = said[0]
        pairs += [(i, 3 * source + word) for source, word in enumerate(said)]

    copying = learn(vocabulary(sources=4), marks_of(pairs, 900), {}).copying

    assert copying[0, 3] > 0.5
    assert copying[1, 2] < 0.1
    assert copying[0, 1] < 0.1


def test_a_crowd_that_names_no_call_is_found_out_by_those_who_do():
    random = np.random.default_rng(7)
    truth = random.integers(0, 3, 400)
    pairs, traits, names = [], [], []
    for i in range(400):
        for source in range(2):
            word = int(truth[i] if random.random() < 0.9 else random.integers(0, 3))
            pairs.append((i, 3 * source + word))
            traits.append(PROVEN)
            names.append(0)
        if i % 4 == 0:  # seven accounts that say the first word, whatever is true
            pairs += [(i, 0)] * 7
            traits += [UNPROVEN] * 7
            names += [1] * 7
    order = sorted(range(len(pairs)), key=lambda at: pairs[at])
    marks = replace(marks_of(pairs, 400), trait=np.array(traits)[order])

    found = learn(vocabulary(), marks, {})

    honest = found.honesty.of_marks(marks.source_at, marks.trait, marks.reporter_at)
    lied = np.array(names)[order] == 1
    assert LEVELS[honest][~lied].min() >= 0.8
    assert LEVELS[honest][lied & (truth[marks.number_at] != 0)].max() <= QUARANTINE


def test_marks_made_after_a_verdict_was_visible_judge_nobody():
    pairs = [(i, word) for i in range(200) for word in (0, 4)]
    marks = marks_of(pairs, 200)

    judged = learn(vocabulary(), marks, {}).honesty.stratum
    hidden = replace(marks, judges=np.zeros(len(marks.judges), dtype=bool))
    unjudged = learn(vocabulary(), hidden, {}).honesty.stratum

    assert np.allclose(unjudged, expected_strata())
    assert not np.allclose(judged, unjudged)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=40))
def test_the_posterior_of_some_numbers_is_that_of_all(pairs):
    accuracies = domain.starting_accuracies(vocabulary(), np.ones(6))
    touched = sorted({number for number, _ in pairs})[:3]

    whole = domain.posterior(weighed(pairs, 10).cells, accuracies)
    part = domain.posterior(weighed(pairs, 10).cells[touched], accuracies)

    assert np.allclose(part, whole[touched])
    assert np.allclose(whole.sum(axis=1), 1)

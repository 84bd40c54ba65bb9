"""What marks look like: calls, accounts, bursts, rings; and what is made of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.arbitration import honesty
from services.arbitration.honesty import ACCOUNTS, BURSTS, RINGS, Reporters

MINUTE, DAY = 60_000, 86_400_000
START = 1_790_000_000_000
NOBODY = Reporters()


def parts(trait):
    """Proof, account, burst and ring of kinds of marks."""
    rest, ring = np.divmod(trait, RINGS)
    rest, burst = np.divmod(rest, BURSTS)
    proof, account = np.divmod(rest, ACCOUNTS)
    return proof.tolist(), account.tolist(), burst.tolist(), ring.tolist()


def traits(
    minutes, *, number=0, source=0, call=True, reporters=None, says=None, known=NOBODY, missing=0.1
):
    size = len(minutes)
    names = np.array(reporters or range(1, size + 1), dtype=np.uint64)
    return honesty.traits(
        number_at=np.full(size, number),
        source_at=np.full(size, source),
        says_at=np.array(says or [0] * size),
        occurred_ms=START + np.array(minutes) * MINUTE,
        has_reporter=names != 0,
        reporter_at=known.find(names),
        gives_call=np.ones(size, dtype=bool),
        has_call=np.full(size, call) if isinstance(call, bool) else np.array(call),
        by_person=np.ones(size, dtype=bool),
        missing=np.array([missing]),
        reporters=known,
    )


def acquaintances(*, first_days_ago=(), ring=()):
    size = max(len(first_days_ago), len(ring))
    return Reporters(
        key=np.arange(1, size + 1, dtype=np.uint64),
        first_ms=START - np.array(first_days_ago or [0] * size) * DAY,
        ring=np.array(ring or [0] * size),
        ratio=np.ones(size),
    )


def test_others_within_fifteen_minutes_make_a_burst():
    _, _, burst, _ = parts(traits([0, 3, 6, 9, 12, 100, 130]))

    assert burst == [2, 2, 2, 2, 2, 0, 0]


def test_marks_without_a_reporter_are_no_burst():
    _, account, burst, _ = parts(traits([0, 1, 2, 3, 4], reporters=[0] * 5))

    assert set(burst) == {0}
    assert set(account) == {0}


def test_an_account_is_new_on_the_day_of_its_first_mark():
    _, account, _, _ = parts(traits([0, 500], known=acquaintances(first_days_ago=[0, 3])))

    assert account == [1, 2]


def test_an_account_that_nobody_knows_is_new():
    assert parts(traits([0]))[1] == [1]


def test_three_of_a_ring_on_one_number_are_seen_together():
    together = parts(traits([0, 500, 900], known=acquaintances(ring=[7, 7, 7])))[3]
    apart = parts(traits([0, 500, 900], known=acquaintances(ring=[7, 7, 8])))[3]

    assert together == [1, 1, 1]
    assert apart == [0, 0, 0]


def test_more_marks_without_a_call_than_chance_allows_are_odd():
    usual = parts(traits([0, 300, 600, 900], call=[False, True, True, True]))[0]
    odd = parts(traits([0, 300, 600, 900], call=False))[0]

    assert usual == [1, 0, 0, 0]
    assert odd == [3, 3, 3, 3]


def test_the_few_calls_in_an_odd_burst_are_not_believed():
    known = acquaintances(first_days_ago=[9] * 7)
    proof, _, _, _ = parts(
        traits([0, 2, 4, 6, 8, 9, 900], call=[False] * 5 + [True, True], known=known)
    )

    assert proof == [3, 3, 3, 3, 3, 3, 0]


def test_only_those_who_say_the_same_are_a_crowd():
    proof, _, _, _ = parts(traits([0, 300, 600, 900, 1200], call=False, says=[1, 1, 1, 1, 2]))

    assert proof == [3, 3, 3, 3, 1]


def test_a_new_account_in_an_odd_crowd_is_not_believed_its_call():
    known = acquaintances(first_days_ago=[9, 9, 9, 9, 9, 9])
    old = parts(traits([0, 300, 600, 900, 1200, 1500], call=[False] * 5 + [True], known=known))
    new = parts(traits([0, 300, 600, 900, 1200, 1500], call=[False] * 5 + [True]))

    assert old[0] == [3, 3, 3, 3, 3, 0]
    assert new[0] == [3, 3, 3, 3, 3, 3]


def test_those_who_share_numbers_with_three_others_form_a_ring():
    numbers = np.repeat([0, 1, 2], 5)
    reporter = np.array([1, 2, 3, 4, 9, 1, 2, 3, 4, 8, 7, 8, 9, 1, 6], dtype=np.uint64)
    size = len(numbers)

    rings = honesty.Rings(np.unique(reporter))
    for rows in (numbers < 1, numbers >= 1):  # range after range
        rings.add(numbers[rows], np.zeros(size, np.int64)[rows], reporter[rows])
    found = rings.reporters(np.zeros(9, np.int64))

    ring = dict(zip(found.key.tolist(), found.ring.tolist(), strict=True))
    assert len({ring[r] for r in (1, 2, 3, 4)}) == 1
    assert ring[1] > 0
    assert [ring[r] for r in (6, 7, 8, 9)] == [0, 0, 0, 0]


def tallied(before, trait, reporter_at, responsibility, telling):
    tally = honesty.Tally.of(before)
    for rows in (slice(0, 7), slice(7, None)):  # range after range
        tally.add(
            before, np.zeros(len(trait), np.int64)[rows], trait[rows], reporter_at[rows],
            responsibility[rows], telling[rows],
        )  # fmt: skip
    return tally


def test_kinds_that_prove_wrong_lose_their_honesty_and_others_keep_theirs():
    before = honesty.starting_honesty(1)
    trait = np.array([0] * 200 + [30] * 200)
    responsibility = np.array([0.95] * 200 + [0.05] * 200)

    after = tallied(before, trait, np.full(400, -1), responsibility, np.ones(400)).strata()

    assert after[0, 0] == pytest.approx(0.95, abs=0.01)
    assert after[0, 30] < 0.15
    assert after[0, 60] == pytest.approx(honesty.expected_strata()[60])


def test_what_nobody_else_speaks_of_judges_no_one():
    before = replace(honesty.starting_honesty(1), reporters=acquaintances(ring=[0, 0]))

    after = tallied(before, np.array([0, 0]), np.array([0, 1]), np.array([0.0, 1.0]), np.zeros(2))

    assert np.allclose(after.strata(), before.stratum)
    assert after.ratios().tolist() == [1.0, 1.0]


def test_a_reporter_who_is_often_wrong_is_worth_less_than_its_kind():
    before = replace(honesty.starting_honesty(1), reporters=acquaintances(ring=[0, 0]))
    responsibility = np.array([0.99] * 20 + [0.1] * 20)

    after = tallied(
        before, np.zeros(40, np.int64), np.repeat([0, 1], 20), responsibility, np.ones(40)
    )

    good, bad = after.ratios().tolist()
    assert good > 1 > 0.4 > bad


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60)), min_size=1, max_size=30))
def test_a_mark_looks_the_same_beside_marks_on_other_numbers(pairs):
    number, minute = (np.array(column) for column in zip(*sorted(pairs), strict=True))
    size = len(number)
    everyone = {
        "source_at": np.zeros(size, np.int64),
        "says_at": minute % 3,
        "occurred_ms": START + minute * MINUTE,
        "has_reporter": np.ones(size, bool),
        "reporter_at": np.full(size, -1),
        "gives_call": np.ones(size, bool),
        "has_call": minute % 2 == 0,
        "by_person": np.ones(size, bool),
    }
    known = {"missing": np.array([0.1]), "reporters": Reporters()}

    whole = honesty.traits(number, **everyone, **known)

    for one in np.unique(number).tolist():
        rows = number == one
        alone = {name: column[rows] for name, column in everyone.items()}
        assert honesty.traits(number[rows], **alone, **known).tolist() == whole[rows].tolist()

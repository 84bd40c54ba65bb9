"""The publishing rules decide in order, and unknown never means safe."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.numbering import Kind, parse
from services.common.taxonomy import standard
from services.reputation.compose import Fired, Registry
from services.reputation.rules import RULES, UNDECIDED, Findings, State, decide

AGENT, FRAUD, COURIER = 3200, 1100, 4100
DEFAULTS = {
    "kind": int(Kind.CN_MOBILE), "registered": -1, "category": AGENT, "probability": 0.9,
    "group_probability": 0.9,
    "age_half_lives": 0.0, "risk": 0.8, "reporter_count": 8, "mark_count": 8,
    "effective_sources": 2.5, "decided": UNDECIDED, "signal": False, "spoofed": False,
}  # fmt: skip


def findings(*rows):
    columns = {name: np.array([{**DEFAULTS, **row}[name] for row in rows]) for name in DEFAULTS}
    return Findings(**columns)


def published(**row):
    found = decide(findings(row))
    return (
        State(int(found.state[0])), int(found.level[0]), int(found.category[0]),
        RULES[int(found.rule[0])].rule_id,
    )  # fmt: skip


def test_agreeing_marks_establish_a_label():
    assert published() == (State.ESTABLISHED, 2, AGENT, "crowd_established@2")


def test_a_number_without_marks_is_unknown_and_not_safe():
    assert published(category=0, mark_count=0, reporter_count=0, risk=0.1)[:3] == (
        State.UNKNOWN, 0, 0,
    )  # fmt: skip


def test_behaviour_alone_gives_a_notice_without_a_category():
    assert published(category=0, mark_count=0, reporter_count=0, risk=0.9)[:3] == (
        State.PROVISIONAL, 1, 0,
    )  # fmt: skip


def test_the_crowd_alone_never_establishes_an_illegal_label():
    state, level, _, rule = published(
        category=FRAUD, probability=1.0, reporter_count=5000, mark_count=5000, risk=1.0
    )

    assert state == State.PROVISIONAL
    assert level <= 3
    assert rule == "illegal_by_crowd@1"


def test_a_carriers_signal_beside_agreeing_marks_establishes_an_illegal_label():
    assert published(category=FRAUD, risk=0.9, signal=True) == (
        State.ESTABLISHED, 4, FRAUD, "illegal_by_signal@1",
    )  # fmt: skip


@pytest.mark.parametrize(
    "less", [{"reporter_count": 2, "effective_sources": 1.0}, {"risk": 0.5}, {"signal": False}]
)
def test_a_signal_without_agreeing_marks_or_with_calls_that_do_not_look_it_is_not_enough(less):
    row = {"category": FRAUD, "risk": 0.9, "signal": True, **less}

    assert published(**row)[3] == "illegal_by_crowd@1"


@pytest.mark.parametrize("marks", [0, 50])
def test_a_number_that_others_forge_is_a_victim_and_no_culprit(marks):
    state, level, category, rule = published(
        spoofed=True, category=FRAUD, mark_count=marks, reporter_count=marks, risk=0.99
    )

    assert (state, level, category, rule) == (State.SPOOFED, 1, 0, "spoofed@1")


def test_a_decision_holds_of_a_number_that_others_forge_too():
    assert published(spoofed=True, decided=FRAUD)[0] == State.ADJUDICATED


def test_signals_of_a_number_are_told_with_those_of_its_victims_apart():
    fired = Fired(np.array([3, 3, 5, 9]), ["B05", "B09", "B06", "B01"], np.array([0, 1, 0, 0]) > 0)

    codes, grave, victim = fired.by_number(np.array([2, 3, 5, 7]))

    assert codes == ["", "B05;B09", "B06", ""]
    assert grave.tolist() == [False, False, True, False]
    assert victim.tolist() == [False, True, False, False]


def test_a_decision_establishes_an_illegal_label():
    assert published(decided=FRAUD, risk=0.99)[:3] == (State.ADJUDICATED, 4, FRAUD)


def test_a_cleared_number_shows_nothing_whatever_its_marks_say():
    assert published(decided=0)[:3] == (State.ADJUDICATED, 0, 0)


@pytest.mark.parametrize("purpose", [0, 4200])
def test_the_crowd_cannot_lower_a_registered_number_which_shows_its_purpose(purpose):
    assert published(registered=purpose, category=FRAUD)[:3] == (State.PROTECTED, 0, purpose)


def test_a_relay_number_shows_no_marks():
    assert published(kind=int(Kind.CN_RELAY))[:3] == (State.UNKNOWN, 0, 0)


def test_hostile_marks_on_harmless_behaviour_are_contested_and_not_shown():
    assert published(category=FRAUD, risk=0.001)[:3] == (State.CONTESTED, 0, 0)


def test_a_useful_label_stays_though_its_calls_are_harmless():
    assert published(category=COURIER, risk=0.001)[:3] == (State.ESTABLISHED, 0, COURIER)


def test_sources_that_contradict_each_other_show_no_category():
    assert published(group_probability=0.3)[0] == State.CONTESTED


@pytest.mark.parametrize(("age", "shown"), [(3.0, AGENT), (3.01, 0)])
def test_marks_fade_after_three_half_lives(age, shown):
    assert published(age_half_lives=age)[2] == shown


@pytest.mark.parametrize(
    ("reporters", "sources", "state"),
    [(6, 1.0, State.ESTABLISHED), (5, 1.79, State.PROVISIONAL), (2, 1.8, State.ESTABLISHED)],
)
def test_a_label_is_established_by_six_reporters_or_by_two_sources(reporters, sources, state):
    found = published(
        reporter_count=reporters, mark_count=reporters, effective_sources=sources, risk=0.6
    )

    assert found[0] == state


def test_few_marks_that_say_what_the_calls_look_like_are_enough():
    assert published(reporter_count=1, mark_count=1, effective_sources=1.0, risk=0.7)[3] == (
        "behaviour_agrees@1"
    )


CATEGORIES = [0, *(c.id for c in standard.load().categories)]


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "registered": st.sampled_from([-1, -1, 0, 4200]),
                "category": st.sampled_from(CATEGORIES),
                "probability": st.floats(0, 1),
                "group_probability": st.floats(0, 1),
                "age_half_lives": st.floats(0, 10),
                "risk": st.floats(0, 1),
                "reporter_count": st.integers(0, 100),
                "mark_count": st.integers(0, 100),
                "effective_sources": st.floats(0, 9),
                "decided": st.sampled_from([UNDECIDED, UNDECIDED, 0, AGENT, FRAUD]),
            }
        ),
        min_size=1,
        max_size=20,
    )
)
def test_every_number_is_decided_alone_and_within_its_bounds(rows):
    together = decide(findings(*rows))
    alone = [decide(findings(row)) for row in rows]

    for name in ("category", "probability", "level", "state", "rule"):
        assert getattr(together, name).tolist() == [getattr(one, name)[0] for one in alone]
    rules = [RULES[i] for i in together.rule.tolist()]
    assert all(level <= rule.max_level for level, rule in zip(together.level, rules, strict=True))
    assert all(
        rule.shows_category or not category
        for category, rule in zip(together.category, rules, strict=True)
    )
    assert ((together.probability > 0) <= (together.category > 0)).all()


def test_a_registration_of_its_own_comes_before_the_longest_prefix():
    one, two = parse("13800138000", "CN").key, parse("13800139999", "CN").key
    registry = Registry(
        [one, 0, 0], ["", "1380013", "138"], ["C03", "C03", "C03"], ["A4200", "A4300", "A4900"]
    )

    assert registry.purposes(np.array([one, two])).tolist() == [4200, 4300]

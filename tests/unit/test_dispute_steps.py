"""The state machine of disputes, driven by any sequence of calls at any pace."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.arbitration.disputes import steps
from services.arbitration.disputes.checks import Facts, Standing
from services.arbitration.disputes.dispute import BrokenHistory, View, apply, fold
from services.arbitration.disputes.events import START, prove, seal
from services.arbitration.disputes.words import (
    OPEN,
    Applicant,
    Ground,
    Kind,
    Outcome,
    Paper,
    Reason,
    Role,
    Stance,
    State,
)
from services.common.errors import DomainError

DAY_MS = 86_400_000
BEGAN_MS = 1_790_000_000_000  # 2026-09-21

MARKETING = Facts(
    mark_count=9,
    distribution=((3101, 0.8), (0, 0.2)),
    standing=(Standing("app-one", "贷款", 3101, 6), Standing("app-two", "推销", 3000, 3)),
)
FRAUD = Facts(
    mark_count=9, distribution=((1100, 0.9), (0, 0.1)), standing=(Standing("p", "诈骗", 1100, 9),)
)
FORMER = Facts(epoch_start_ms=BEGAN_MS - DAY_MS, former_mark_count=9)
NAMED = Facts(
    mark_count=4,
    distribution=((4300, 1.0),),
    standing=(Standing("app-one", "某某保洁", 4300, 4),),
    holder="幸福餐饮有限公司",
)
NOTHING = Facts()


def filing(ground=Ground.OTHER):
    return steps.Filing(Applicant.PERSON, "", ground, "不是我", "public", "r1")


def view(outcome=Outcome.CLEARED, category=0):
    return View(outcome, category, Reason.MARKS_UNFOUNDED, "查无实据")


class Case:
    """One dispute and its log, as the store would keep it."""

    def __init__(self, facts, ground=Ground.OTHER, now_ms=BEGAN_MS):
        self.facts, self.now_ms, self.log, self.dispute = facts, now_ms, [], None
        self.add(steps.file(filing(ground), facts))

    def add(self, new):
        seq, head = (self.log[-1].seq, self.log[-1].hash) if self.log else (0, START)
        self.log += seal([("ZM1", 7, step) for step in new], seq, head, self.now_ms)
        self.dispute = fold(self.log)
        return self

    def wait(self, days):
        self.now_ms += int(days * DAY_MS)
        while new := steps.due(self.dispute, self.now_ms):
            self.add(new)
        return self

    def prove(self, code="good"):
        self.add(steps.send_code(self.dispute, "good", self.now_ms))
        new, error = steps.prove(self.dispute, code, self.facts, self.now_ms)
        self.add(new)
        if error:
            raise error
        return self

    def review(self):
        self.prove()
        for source in self.dispute.pending:
            self.add(steps.answer(self.dispute, source, Stance.MAINTAINED, "属实"))
        return self


def test_a_number_reassigned_after_its_marks_is_cleared_at_once():
    case = Case(FORMER, Ground.REASSIGNED)

    case.prove()

    assert case.dispute.state is State.DECIDED
    assert case.dispute.view.reason is Reason.REASSIGNED
    assert case.dispute.decided_category == 0


@pytest.mark.parametrize("facts", [MARKETING, FRAUD, NOTHING, replace(FORMER, mark_count=1)])
def test_nothing_else_is_cleared_without_a_person(facts):
    case = Case(facts, Ground.REASSIGNED)

    case.prove()

    assert case.dispute.state in (State.WITH_SOURCES, State.IN_REVIEW)


def test_a_decision_in_force_is_not_undone_automatically():
    case = Case(replace(FORMER, decided=1100), Ground.REASSIGNED)

    case.prove()

    assert case.dispute.state is State.IN_REVIEW
    assert case.dispute.double_review


def test_a_name_that_is_not_the_registered_holders_is_cleared_at_once():
    case = Case(NAMED, Ground.NAME_MISMATCH)

    case.prove()

    assert case.dispute.view.reason is Reason.NAME_MISMATCH


@pytest.mark.parametrize(
    "facts",
    [
        replace(NAMED, holder=""),
        replace(NAMED, holder="某某 保洁"),
        replace(NAMED, standing=(*NAMED.standing, Standing("x", "诈骗", 1100, 1))),
    ],
)
def test_a_name_mismatch_without_full_proof_goes_to_the_sources(facts):
    case = Case(facts, Ground.NAME_MISMATCH)

    case.prove()

    assert case.dispute.state is State.WITH_SOURCES


def test_two_reviewers_who_agree_decide_the_illegal_class():
    case = Case(FRAUD).review()

    case.add(steps.opine(case.dispute, "ann", view(Outcome.UPHELD), FRAUD))
    before = case.dispute.state
    case.add(steps.opine(case.dispute, "bo", view(Outcome.UPHELD), FRAUD))

    assert before is State.IN_REVIEW
    assert case.dispute.state is State.DECIDED
    assert case.dispute.decided_category == 1100


def test_a_third_reviewer_settles_where_two_differ():
    case = Case(FRAUD).review()

    case.add(steps.opine(case.dispute, "ann", view(Outcome.UPHELD), FRAUD))
    case.add(steps.opine(case.dispute, "bo", view(Outcome.CLEARED), FRAUD))
    before = case.dispute.state
    case.add(steps.opine(case.dispute, "cy", view(Outcome.CLEARED), FRAUD))

    assert before is State.IN_REVIEW
    assert case.dispute.view.outcome is Outcome.CLEARED


def test_a_third_view_of_its_own_settles_as_well():
    case = Case(FRAUD).review()

    for name, end in (("ann", view(Outcome.UPHELD)), ("bo", view()),
                      ("cy", view(Outcome.RELABELLED, 3101))):  # fmt: skip
        case.add(steps.opine(case.dispute, name, end, FRAUD))

    assert case.dispute.decided_category == 3101


@pytest.mark.parametrize(
    ("facts", "end"),
    [(FRAUD, view()), (MARKETING, view(Outcome.RELABELLED, 1100))],
    ids=["as it is", "as it would be"],
)
def test_nobody_decides_the_illegal_class_alone(facts, end):
    case = Case(facts).review()

    with pytest.raises(DomainError) as caught:
        steps.decide(case.dispute, "ann", end, facts)

    assert caught.value.reason == "SECOND_REVIEW_REQUIRED"


def test_a_reviewer_has_one_part_in_a_dispute_even_on_appeal():
    case = Case(MARKETING).review()
    case.add(steps.decide(case.dispute, "ann", view(Outcome.UPHELD), MARKETING))
    case.add(steps.appeal(case.dispute, "不对", case.now_ms))

    with pytest.raises(DomainError) as caught:
        steps.decide(case.dispute, "ann", view(), MARKETING)

    assert caught.value.reason == "REVIEWER_NOT_FREE"


def test_an_appeal_is_final_and_possible_once():
    case = Case(MARKETING).review()
    case.add(steps.decide(case.dispute, "ann", view(Outcome.UPHELD), MARKETING))
    case.add(steps.appeal(case.dispute, "不对", case.now_ms))
    case.add(steps.decide(case.dispute, "bo", view(), MARKETING))

    with pytest.raises(DomainError) as caught:
        steps.appeal(case.dispute, "还是不对", case.now_ms)

    assert caught.value.reason == "APPEAL_USED"
    assert case.dispute.state is State.CLOSED
    assert case.dispute.decided_category == 0


def test_an_appeal_rejected_on_form_leaves_the_decision():
    case = Case(MARKETING).review()
    case.add(steps.decide(case.dispute, "ann", view(Outcome.UPHELD), MARKETING))
    case.add(steps.appeal(case.dispute, "不对", case.now_ms))

    case.add(steps.decide(case.dispute, "bo", view(Outcome.REJECTED), MARKETING))

    assert case.dispute.decided_category == 3101


def test_sources_have_five_working_days():
    case = Case(MARKETING).prove()  # Monday 2026-09-21; the holidays begin on 25 September

    asked = case.wait(8).dispute.state
    later = case.wait(2).dispute.state

    assert asked is State.WITH_SOURCES
    assert later is State.IN_REVIEW


def test_a_clock_stands_still_while_papers_are_awaited():
    case = Case(MARKETING).review()
    before = case.dispute.deadline_ms()
    case.add(steps.request_papers(case.dispute, "ann", "请补充用途证明"))
    paused = case.dispute.deadline_ms()
    case.wait(2)

    case.add([steps.add_paper(case.dispute, Paper.OTHER, "见附件", "", "")])

    assert paused == 0
    assert case.dispute.deadline_ms() > before
    assert case.dispute.used_days(case.now_ms) == 0


def test_a_clock_that_nobody_answers_goes_on_by_itself():
    case = Case(MARKETING).review()
    case.add(steps.request_papers(case.dispute, "ann", "请补充"))

    case.wait(40)

    assert not case.dispute.paused_ms
    assert case.dispute.deadline_ms()


def test_a_filing_that_nobody_proves_lapses():
    case = Case(MARKETING)

    case.wait(40)

    assert case.dispute.state is State.WITHDRAWN
    assert case.dispute.contested_from_ms == 0


def test_five_wrong_codes_use_a_code_up():
    case = Case(MARKETING)
    case.add(steps.send_code(case.dispute, "good", case.now_ms))
    for _ in range(5):
        case.add(steps.prove(case.dispute, "bad", MARKETING, case.now_ms)[0])

    with pytest.raises(DomainError) as caught:
        steps.prove(case.dispute, "good", MARKETING, case.now_ms)

    assert caught.value.reason == "OWNERSHIP_CODE_WRONG"


def test_a_code_holds_for_ten_minutes():
    case = Case(MARKETING)
    case.add(steps.send_code(case.dispute, "good", case.now_ms))

    with pytest.raises(DomainError) as caught:
        steps.prove(case.dispute, "good", MARKETING, case.now_ms + 10 * 60_000 + 1)

    assert caught.value.reason == "OWNERSHIP_CODE_WRONG"


def test_three_codes_a_day_are_sent():
    case = Case(MARKETING)
    for _ in range(3):
        case.add(steps.send_code(case.dispute, "good", case.now_ms))

    with pytest.raises(DomainError) as caught:
        steps.send_code(case.dispute, "good", case.now_ms)

    assert caught.value.reason == "OWNERSHIP_CODE_LIMIT"


def test_a_history_that_no_calls_leave_is_refused():
    case = Case(MARKETING)
    torn = seal([("ZM1", 7, steps.Step(Kind.CLOSED))], case.log[-1].seq, case.log[-1].hash, 1)

    with pytest.raises(BrokenHistory):
        apply(case.dispute, torn[0])


@pytest.mark.parametrize("field", ["text", "actor", "details", "occurred_ms", "number", "kind"])
def test_a_changed_event_is_found(field):
    log = Case(MARKETING).review().log
    changed = 2 if field in ("occurred_ms", "number", "kind") else "x"

    proof = prove([*log[:3], replace(log[3], **{field: changed}), *log[4:]])

    assert (proof.broken_seq, proof.fault) == (4, "HASH")


def test_a_removed_or_repeated_event_is_found():
    log = Case(MARKETING).review().log

    assert prove(log[:2] + log[3:]).fault == "GAP"
    assert prove(log[:2] + log[1:]).fault == "REPEAT"
    assert prove(log[1:]).fault == "GAP"
    assert prove(log).fault == ""


REVIEWERS = st.sampled_from(["ann", "bo", "cy", "di"])
VIEWS = st.sampled_from(
    [
        view(), view(Outcome.UPHELD), view(Outcome.REJECTED), view(Outcome.NONE),
        view(Outcome.RELABELLED, 3102), view(Outcome.RELABELLED, 1100), view(Outcome.CLEARED, 5),
    ]
)  # fmt: skip


class AnyCalls(RuleBasedStateMachine):
    """Any call at any time: each adds whole steps or none, and the log always folds and proves."""

    @initialize(
        facts=st.sampled_from([MARKETING, FRAUD, FORMER, NAMED, NOTHING]),
        ground=st.sampled_from(list(Ground)),
    )
    def begin(self, facts, ground):
        self.case = Case(facts, ground)
        self.length = len(self.case.log)

    def call(self, command):
        before = self.case.dispute
        try:
            new = command(before)
        except DomainError:
            assert fold(self.case.log) == before
            return
        assert new
        self.case.add(new)

    @rule(hours=st.integers(1, 24 * 30))
    def time_passes(self, hours):
        self.case.wait(hours / 24)

    @rule()
    def send_code(self):
        self.call(lambda d: steps.send_code(d, "good", self.case.now_ms))

    @rule(code=st.sampled_from(["good", "bad"]))
    def prove(self, code):
        self.call(lambda d: steps.prove(d, code, self.case.facts, self.case.now_ms)[0])

    @rule(reviewer=REVIEWERS)
    def confirm(self, reviewer):
        self.call(lambda d: steps.confirm(d, reviewer, "见证明", self.case.facts))

    @rule()
    def add_paper(self):
        self.call(lambda d: [steps.add_paper(d, Paper.OTHER, "x", "", "")])

    @rule(reviewer=REVIEWERS)
    def request_papers(self, reviewer):
        self.call(lambda d: steps.request_papers(d, reviewer, "x"))

    @rule(source=st.sampled_from(["app-one", "app-two", "p"]), stance=st.sampled_from(list(Stance)))
    def answer(self, source, stance):
        self.call(lambda d: steps.answer(d, source, stance, "x"))

    @rule(reviewer=REVIEWERS, end=VIEWS)
    def opine(self, reviewer, end):
        self.call(lambda d: steps.opine(d, reviewer, end, self.case.facts))

    @rule(reviewer=REVIEWERS, end=VIEWS)
    def decide(self, reviewer, end):
        self.call(lambda d: steps.decide(d, reviewer, end, self.case.facts))

    @rule()
    def appeal(self):
        self.call(lambda d: steps.appeal(d, "x", self.case.now_ms))

    @rule()
    def withdraw(self):
        self.call(steps.withdraw)

    @invariant()
    def holds(self):
        case = self.case
        dispute = case.dispute
        assert dispute.state in set(State) - {State.FILED, State.CHECKING}
        assert len(case.log) >= self.length
        self.length = len(case.log)
        assert prove(case.log).fault == ""
        assert [event.seq for event in case.log] == list(range(1, len(case.log) + 1))
        assert sum(event.kind == Kind.APPEALED for event in case.log) <= 1
        assert (dispute.view is not None) == any(e.kind == Kind.DECIDED for e in case.log)
        assert dispute.state not in OPEN or not dispute.reviewers & dispute.engaged
        self.grave_is_never_decided_by_one()

    def grave_is_never_decided_by_one(self):
        log, dispute = self.case.log, self.case.dispute
        given: set[str] = set()
        for event in log:
            if event.kind == Kind.OPINION_GIVEN:
                given.add(event.actor)
            if event.kind == Kind.DECIDED and event.role == Role.REVIEWER:
                if dispute.double_review:
                    assert len(given) >= 2
                given.clear()


TestAnyCalls = AnyCalls.TestCase
TestAnyCalls.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

"""The publishing rules: an ordered tuple; the first that applies decides, and is stored. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from services.common.numbering import Kind
from services.common.taxonomy import standard

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MIN_REPORTERS = 6
"""Distinct reporters that establish a label (china.md R06; Tencent shows one from about six)."""
MIN_SOURCES = 1.8
"""Or so many effective sources: two of nearly equal weight."""
MIN_PROBABILITY = 0.6
"""Posterior from which a category is published as established."""
CONTESTED_PROBABILITY = 0.4
"""Below it, with several marks, sources contradict each other."""
STALE_HALF_LIVES = 3.0
"""Age of the newest mark, in half-lives of its category, from which nothing is shown."""
BEHAVIOUR_RISK = 0.7
"""Risk from which calls look unwanted: a number nobody marked is noticed for it, and few marks
that say the same are enough."""
LOW_RISK = 0.5
"""Below it a nuisance label is no more than a notice."""
HARMLESS_RISK = 0.02
"""Below it the calls of a number do not look like what a label of level 2 and above says."""

PROTECTED_IDENTITIES = ("C01", "C02", "C03", "C04")
"""Axis C: emergency and public service, anti-fraud, verified and registered numbers."""

CLEARED = 0
UNDECIDED = -1


class State(IntEnum):
    """The wire's ReputationState."""

    UNKNOWN = 1
    PROVISIONAL = 2
    ESTABLISHED = 3
    CONTESTED = 4
    DISPUTED = 5
    ADJUDICATED = 6
    SPOOFED = 7
    PROTECTED = 8


@dataclass(frozen=True)
class Findings:
    """What was found of n numbers.

    Attributes:
        kind: uint8 (n,), Kind.
        registered: int64 (n,), registered purpose: -1 not registered under a protected identity,
            0 registered without a purpose.
        category: int64 (n,), most probable category, 0 ordinary.
        probability: float64 (n,), its posterior.
        group_probability: float64 (n,), the posterior of all categories of its group, such as A3:
            sources that disagree within a group do not contradict each other.
        age_half_lives: float64 (n,), age of the newest mark in half-lives of the category.
        risk: float64 (n,).
        reporter_count, mark_count: int64 (n,).
        effective_sources: float64 (n,).
        decided: int64 (n,): UNDECIDED, CLEARED or a category.
        signal: bool (n,), a grave signal (severity 3 and above) fired; default: none.
        spoofed: bool (n,), others forge the number and it is their victim; default: none.
        disputed: bool (n,): its holder contests it and is proven to be; default: none is.
    """

    kind: npt.NDArray[np.uint8]
    registered: npt.NDArray[np.int64]
    category: npt.NDArray[np.int64]
    probability: F64
    group_probability: F64
    age_half_lives: F64
    risk: F64
    reporter_count: npt.NDArray[np.int64]
    mark_count: npt.NDArray[np.int64]
    effective_sources: F64
    decided: npt.NDArray[np.int64]
    disputed: Mask = field(default_factory=lambda: np.zeros(1, dtype=bool))
    signal: Mask = field(default_factory=lambda: np.zeros(1, dtype=bool))
    spoofed: Mask = field(default_factory=lambda: np.zeros(1, dtype=bool))


@dataclass(frozen=True)
class Rule:
    """A named, versioned rule.

    Attributes:
        rule_id: name@version, stored with the outcome.
        applies: which numbers it decides, of those no earlier rule has.
        state: the state it gives.
        shows_category: whether the category is published.
        max_level: cap of the level.
        reason: reason code put first, "" none.
    """

    rule_id: str
    applies: Callable[[Findings], Mask]
    state: State
    shows_category: bool
    max_level: int
    reason: str = ""


def _illegal(found: Findings) -> Mask:
    return np.asarray(found.category // 1000 == 1)


def _contested(found: Findings) -> Mask:
    return np.asarray((found.group_probability < CONTESTED_PROBABILITY) & (found.mark_count >= 3))


def _established(found: Findings) -> Mask:
    enough = (found.reporter_count >= MIN_REPORTERS) | (found.effective_sources >= MIN_SOURCES)
    return np.asarray((found.group_probability >= MIN_PROBABILITY) & enough)


RULES: tuple[Rule, ...] = (
    Rule("relay_number@1", lambda f: f.kind == Kind.CN_RELAY, State.UNKNOWN, False, 0, "RELAY"),
    Rule("decided_clear@1", lambda f: f.decided == CLEARED, State.ADJUDICATED, False, 0, "CLEARED"),
    Rule(
        "disputed_decided@1",
        lambda f: f.disputed & (f.decided > CLEARED),
        State.DISPUTED,
        True,
        4,
        "DISPUTED",
    ),
    Rule("decided@1", lambda f: f.decided > CLEARED, State.ADJUDICATED, True, 4, "DECIDED"),
    # What it is registered for is shown; the crowd cannot lower it.
    Rule("protected@2", lambda f: f.registered >= 0, State.PROTECTED, True, 0, "PROTECTED"),
    # While a dispute is open a fraud label stays and any other is withheld (DESIGN section 8).
    Rule(
        "disputed_illegal@1",
        lambda f: f.disputed & (f.mark_count > 0) & _illegal(f),
        State.DISPUTED,
        True,
        3,
        "DISPUTED",
    ),
    Rule(
        "disputed@1",
        lambda f: f.disputed & (f.mark_count > 0),
        State.DISPUTED,
        False,
        0,
        "DISPUTED",
    ),
    # Others forge it: what was marked were their calls. A call that shows it may be forged again.
    Rule("spoofed@1", lambda f: f.spoofed, State.SPOOFED, False, 1, "SPOOFED"),
    Rule(
        "behaviour_only@1",
        lambda f: (f.mark_count == 0) & (f.risk >= BEHAVIOUR_RISK),
        State.PROVISIONAL,
        False,
        1,
        "BEHAVIOUR",
    ),
    Rule("nothing_known@1", lambda f: f.mark_count == 0, State.UNKNOWN, False, 0),
    Rule("ordinary@1", lambda f: f.category == 0, State.PROVISIONAL, False, 0, "MARKS_WEAK"),
    Rule(
        "stale@1",
        lambda f: f.age_half_lives > STALE_HALF_LIVES,
        State.PROVISIONAL,
        False,
        0,
        "MARKS_STALE",
    ),
    Rule(
        "behaviour_contradicts@1",
        lambda f: (f.risk < HARMLESS_RISK) & (_levels(f.category) >= 2),
        State.CONTESTED,
        False,
        0,
        "BEHAVIOUR_CONTRADICTS",
    ),
    Rule("contested@2", _contested, State.CONTESTED, False, 1, "MARKS_CONFLICT"),
    # A carrier's signal beside agreeing marks is what the crowd alone lacks.
    Rule(
        "illegal_by_signal@1",
        lambda f: _illegal(f) & f.signal & _established(f) & (f.risk >= BEHAVIOUR_RISK),
        State.ESTABLISHED,
        True,
        4,
        "SIGNAL_AGREES",
    ),
    # Crowd marks alone never establish an illegal label (DESIGN section 4, china.md R06).
    Rule("illegal_by_crowd@1", _illegal, State.PROVISIONAL, True, 3, "MARKS_ILLEGAL"),
    Rule("crowd_established@2", _established, State.ESTABLISHED, True, 4, "MARKS_AGREE"),
    Rule(
        "behaviour_agrees@1",
        lambda f: (f.risk >= BEHAVIOUR_RISK) & (_levels(f.category) >= 2),
        State.ESTABLISHED,
        True,
        4,
        "BEHAVIOUR_AGREES",
    ),
    Rule(
        "crowd_provisional@1", lambda f: f.mark_count > 0, State.PROVISIONAL, True, 1, "MARKS_FEW"
    ),
)


@dataclass(frozen=True)
class Published:
    """What the rules make of n numbers.

    Attributes:
        category: uint16 (n,), 0 none.
        probability: float32 (n,), of the category, 0 without.
        level, state: uint8 (n,).
        rule: (n,), place in RULES.
    """

    category: npt.NDArray[np.uint16]
    probability: npt.NDArray[np.float32]
    level: npt.NDArray[np.uint8]
    state: npt.NDArray[np.uint8]
    rule: npt.NDArray[np.int64]


def decide(found: Findings) -> Published:
    """Apply the rules; every number is decided by exactly one."""
    count = len(found.category)
    rule = np.full(count, len(RULES) - 1, dtype=np.int64)
    open_ = np.ones(count, dtype=bool)
    for at, candidate in enumerate(RULES):
        taken = open_ & candidate.applies(found)
        rule[taken] = at
        open_ &= ~taken
    state = np.array([r.state for r in RULES], dtype=np.uint8)[rule]
    shown = np.array([r.shows_category for r in RULES])[rule]
    cap = np.array([r.max_level for r in RULES], dtype=np.int64)[rule]
    category = np.where(found.decided > CLEARED, found.decided, found.category)
    protected = np.array([r.state == State.PROTECTED for r in RULES])[rule]
    category = np.where(protected, found.registered, category)
    level = np.minimum(_levels(category), cap)
    behaviour = np.array([r.rule_id == "behaviour_only@1" for r in RULES])[rule]
    level = np.where(behaviour | (state == State.SPOOFED), 1, level)
    undecided = found.decided <= CLEARED
    level = np.where(undecided & (found.risk < LOW_RISK), np.minimum(level, 1), level)
    certain = (found.decided > CLEARED) | protected
    probability = np.where(certain & (category > 0), 1.0, found.probability)
    return Published(
        category=np.where(shown, category, 0).astype(np.uint16),
        probability=np.where(shown & (category > 0), probability, 0).astype(np.float32),
        level=level.astype(np.uint8),
        state=state,
        rule=rule,
    )


def _levels(category: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    std = standard.load()
    level = {0: 0}
    for known in np.unique(category).tolist():
        if known:
            level[known] = std.level_of(std.category_of_id(known).code)
    keys = np.array(sorted(level))
    return np.array([level[k] for k in keys])[np.searchsorted(keys, category)]

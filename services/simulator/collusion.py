"""Colluding markers: groups of new accounts that defame a competitor or whitewash a nuisance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.common.errors import InvalidArgument
from services.simulator.marking import NEVER, NOBODY, USER, Marks, joined, latest_s, words_for
from services.simulator.population import City
from services.simulator.reporters import Reporters
from services.simulator.roles import CALL_CENTRES, CRIME_GANGS, ROLE_INDEX, ROLES
from services.simulator.vocabulary import APPS, CATEGORY_INDEX, COPIER
from services.simulator.window import DAY_S, Window, draw_seconds_of_day

_RIGHT = np.array([CATEGORY_INDEX.get(role.category, -1) for role in ROLES])
DEFAME, WHITEWASH = "DEFAME", "WHITEWASH"
_DEFAMED_ROLES = ("shop", "courier", "delivery", "customer service", "taxi")
_DEFAMING = ("A1100", "A2000", "A3000")
_WHITEWASHING = ("A4100", "A4120")  # service words that every vendor's menu has


@dataclass(frozen=True)
class Attack:
    """How much collusion there is, and how clever.

    Attributes:
        reporter_share: colluding accounts as a share of all accounts that mark, in [0, 0.9].
        group_size: accounts that move together.
        targets_per_group: mean number of targets of a group.
        whitewash_ratio: share of groups that call bad numbers good.
        burst_s: a group's marks on a target fall within this time.
        forged_call_ratio: share of the marks that claim a call which did not happen.
        camouflage_ratio: share of accounts that also echo what honest people said elsewhere.
        earned_marks: mean number of true marks, with real calls behind them, that an account
            makes before its group's first raid.
        copied_ratio: share of the raids' marks that another vendor takes over in a day or two.
    """

    reporter_share: float = 0.03
    group_size: int = 12
    targets_per_group: float = 1.6
    whitewash_ratio: float = 0.25
    burst_s: int = 1500
    forged_call_ratio: float = 0.06
    camouflage_ratio: float = 0.3
    earned_marks: float = 0.0
    copied_ratio: float = 0.0

    def __post_init__(self) -> None:
        for name in (
            "reporter_share", "whitewash_ratio", "forged_call_ratio", "camouflage_ratio",
            "copied_ratio",
        ):  # fmt: skip
            value = getattr(self, name)
            upper = 0.9 if name == "reporter_share" else 1.0
            if not 0 <= value <= upper:
                raise InvalidArgument(
                    "VALUE_OUT_OF_RANGE", f"{name} must lie in [0, {upper}], got {value}",
                    field=name, value=value,
                )  # fmt: skip
        if self.group_size < 2 or self.targets_per_group < 1 or self.burst_s < 60:
            raise InvalidArgument(
                "VALUE_OUT_OF_RANGE",
                "attack needs group_size >= 2, targets_per_group >= 1 and burst_s >= 60",
                field="attack",
            )


@dataclass(frozen=True)
class Raid:
    """What one group did to one number."""

    group: int
    tenure: int
    goal: str
    source: int
    begins_s: int
    marks: int


def collude(
    rng: np.random.Generator,
    city: City,
    window: Window,
    reporters: Reporters,
    honest: Marks,
    attack: Attack,
) -> tuple[Reporters, Marks, list[Raid]]:
    """Adds the colluders: the reporters with their accounts, their marks, and what they aimed at.

    Every colluding account marks at least the first target of its group, so that the accounts
    seen in the marks are `reporter_share` of all that are seen.
    """
    seen = len(np.unique(honest.reporter[honest.reporter != NOBODY]))
    count = round(attack.reporter_share / (1 - attack.reporter_share) * seen)
    if count == 0:
        return reporters, honest.take(np.zeros(0, dtype=np.int64)), []
    groups = max(1, round(count / attack.group_size))
    group_of = np.sort(np.arange(count) % groups)
    app_of_group = rng.choice(APPS, size=groups)
    first_account = len(reporters.token)
    everyone = reporters.joined(count, app_of_group[group_of], rng)
    goals = np.where(rng.random(groups) < attack.whitewash_ratio, WHITEWASH, DEFAME)
    goals[0] = DEFAME  # the first group attacks the story's shop
    targets = {
        goal: _candidates(rng, city, window, np.isin(city.role, roles), first)
        for goal, roles, first in (
            (DEFAME, [ROLE_INDEX[name] for name in _DEFAMED_ROLES], [city.cast["victim"]]),
            (WHITEWASH, [*CALL_CENTRES, *CRIME_GANGS], []),
        )
    }
    taken = {DEFAME: 0, WHITEWASH: 0}
    parts: list[Marks] = []
    raids: list[Raid] = []
    for group in range(groups):
        goal = str(goals[group])
        pool = targets[goal]
        accounts = first_account + np.flatnonzero(group_of == group)
        wanted = 1 + int(rng.poisson(attack.targets_per_group - 1))
        for rank in range(min(wanted, len(pool))):
            tenure = int(pool[taken[goal] % len(pool)])
            taken[goal] += 1
            present = accounts[rng.random(len(accounts)) < (2.0 if rank == 0 else 0.9)]
            if len(present) == 0:
                continue
            part, begins_s = _raid(
                rng, city, window, attack, tenure, goal, int(app_of_group[group]), present
            )
            parts.append(part)
            raids.append(
                Raid(group, tenure, goal, int(app_of_group[group]), begins_s, len(present))
            )
    if attack.copied_ratio:
        parts.append(_copied(rng, city, window, everyone, joined(parts), attack.copied_ratio))
    parts.append(_camouflage(rng, city, window, everyone, honest, attack, first_account))
    if attack.earned_marks:
        first_raid_s = np.full(groups, window.end_s)
        for raid in raids:
            first_raid_s[raid.group] = min(first_raid_s[raid.group], raid.begins_s)
        accounts = np.arange(first_account, len(everyone.token))
        parts.append(
            _earn(
                rng, city, everyone, honest, attack.earned_marks, accounts, first_raid_s[group_of]
            )
        )
    return everyone, joined(parts), raids


def _candidates(
    rng: np.random.Generator,
    city: City,
    window: Window,
    wanted: NDArray[np.bool_],
    first: list[int],
) -> NDArray[np.int64]:
    """Tenures that last to the end of the window, in random order after those named."""
    middle_s = (window.start_s + window.end_s) // 2
    lasting = (city.end_s >= window.end_s) & (city.start_s < middle_s)
    fits = np.setdiff1d(np.flatnonzero(wanted & lasting), list(city.cast.values()))
    return np.concatenate([np.array(first, dtype=np.int64), rng.permutation(fits)])


def _raid(
    rng: np.random.Generator,
    city: City,
    window: Window,
    attack: Attack,
    tenure: int,
    goal: str,
    source: int,
    accounts: NDArray[np.int64],
) -> tuple[Marks, int]:
    first_s = max(int(city.start_s[tenure]), window.start_s) + DAY_S
    first_day = -((window.start_s - first_s) // DAY_S)
    day = int(rng.integers(first_day, window.days))
    begins_s = window.start_s + day * DAY_S + int(draw_seconds_of_day(rng, 1)[0])
    begins_s = max(min(begins_s, window.end_s - attack.burst_s - 1), first_s)
    count = len(accounts)
    within_s = min(attack.burst_s, window.end_s - begins_s - 1)
    occurred_s = begins_s + np.sort(rng.integers(0, within_s, count))
    code = str(rng.choice(_DEFAMING if goal == DEFAME else _WHITEWASHING))
    sources = np.full(count, source)
    category = np.full(count, CATEGORY_INDEX[code])
    forged = rng.random(count) < attack.forged_call_ratio
    marks = Marks(
        tenure=np.full(count, tenure),
        source=sources,
        category=category,
        word=words_for(rng, sources, category),
        reporter=accounts,
        occurred_s=occurred_s,
        call_s=np.where(forged, occurred_s - rng.integers(30, 3600, count), NEVER),
        kind=np.full(count, USER),
        withdrawn=np.zeros(count, dtype=bool),
    )
    return marks, begins_s


def _copied(
    rng: np.random.Generator,
    city: City,
    window: Window,
    everyone: Reporters,
    raided: Marks,
    ratio: float,
) -> Marks:
    """Marks of the raids that the copying vendor takes over, without any call."""
    original = raided.take(rng.random(len(raided)) < ratio)
    count = len(original)
    source = np.full(count, COPIER)
    accounts = everyone.draw(rng, COPIER, count)
    copies = Marks(
        tenure=original.tenure,
        source=source,
        category=original.category,
        word=words_for(rng, source, original.category),
        reporter=np.where(rng.random(count) < 0.5, accounts, NOBODY),
        occurred_s=original.occurred_s + rng.integers(3600, 2 * DAY_S, count),
        call_s=np.full(count, NEVER),
        kind=np.full(count, USER),
        withdrawn=np.zeros(count, dtype=bool),
    )
    in_time = copies.occurred_s <= latest_s(city, window, copies.tenure)
    return copies.take(in_time & (copies.word >= 0))


def _earn(
    rng: np.random.Generator,
    city: City,
    everyone: Reporters,
    honest: Marks,
    earned_marks: float,
    accounts: NDArray[np.int64],
    begins_s: NDArray[np.int64],
) -> Marks:
    """True marks of accounts before their raids, on numbers that call other users as well."""
    many = rng.poisson(earned_marks, len(accounts))
    accounts, begins_s = np.repeat(accounts, many), np.repeat(begins_s, many)
    rows = np.full(len(accounts), -1)
    for app in APPS:
        of_app = np.flatnonzero((honest.source == app) & (honest.kind == USER))
        of_app = of_app[np.argsort(honest.occurred_s[of_app], kind="stable")]
        mine = np.flatnonzero(everyone.source[accounts] == app)
        before = np.searchsorted(honest.occurred_s[of_app], begins_s[mine] - DAY_S)
        able = mine[before > 0]
        rows[able] = of_app[(rng.random(len(able)) * before[before > 0]).astype(np.int64)]
    accounts, rows = accounts[rows >= 0], rows[rows >= 0]
    earned = honest.take(rows)
    # The account was called too, and says what it found: right, as its own app words it.
    right = _RIGHT[city.role[earned.tenure]]
    word = words_for(rng, earned.source, np.maximum(right, 0))
    occurred_s = earned.occurred_s + rng.integers(60, 3600, len(rows))
    marks = Marks(
        tenure=earned.tenure,
        source=earned.source,
        category=right,
        word=word,
        reporter=accounts,
        occurred_s=occurred_s,
        call_s=np.where(
            rng.random(len(rows)) < 0.9, occurred_s - rng.integers(30, 600, len(rows)), NEVER
        ),
        kind=np.full(len(rows), USER),
        withdrawn=np.zeros(len(rows), dtype=bool),
    )
    return marks.take((right >= 0) & (word >= 0))


def _camouflage(
    rng: np.random.Generator,
    city: City,
    window: Window,
    everyone: Reporters,
    honest: Marks,
    attack: Attack,
    first_account: int,
) -> Marks:
    """Some accounts repeat, a while later, what honest users of the same app said elsewhere."""
    accounts = np.arange(first_account, len(everyone.token))
    accounts = accounts[rng.random(len(accounts)) < attack.camouflage_ratio]
    accounts = np.repeat(accounts, rng.integers(1, 4, len(accounts)))
    rows = np.empty(len(accounts), dtype=np.int64)
    for app in APPS:
        of_app = np.flatnonzero((honest.source == app) & (honest.kind == USER))
        mine = np.flatnonzero(everyone.source[accounts] == app)
        rows[mine] = of_app[rng.integers(0, max(len(of_app), 1), len(mine))] if len(of_app) else -1
    accounts, rows = accounts[rows >= 0], rows[rows >= 0]
    echoed = honest.take(rows)
    marks = Marks(
        tenure=echoed.tenure,
        source=echoed.source,
        category=echoed.category,
        word=echoed.word,
        reporter=accounts,
        occurred_s=echoed.occurred_s + rng.integers(600, 2 * DAY_S, len(rows)),
        call_s=np.full(len(rows), NEVER),
        kind=np.full(len(rows), USER),
        withdrawn=np.zeros(len(rows), dtype=bool),
    )
    return marks.take(marks.occurred_s <= latest_s(city, window, marks.tenure))

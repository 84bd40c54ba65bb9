"""Who holds which number and when: tenures, gangs, reassigned numbers, and the story's cast."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.simulator import numbers as plan
from services.simulator.numbers import Numbers, draw_numbers
from services.simulator.roles import CRIME_GANGS, ROLE_INDEX, ROLES
from services.simulator.window import DAY_S, FAR_FUTURE_S, Window

# Shares of numbers whose carrier sends behaviour: one province in four of CUCC does not, CBN is
# only trying it out. Our assumption.
_SHARED_BEHAVIOUR = {plan.CMCC: 0.96, plan.CTCC: 0.94, plan.CUCC: 0.75, plan.CBN: 0.3}
_SPOOFED_RATIO = 0.004  # of private numbers and shops
_RECYCLED_RATIO = 0.6  # of the mobile numbers released in the window
# The next holder of a reassigned number.
_NEXT_ROLES = (("private", 0.85), ("courier", 0.04), ("shop", 0.05), ("loans", 0.03),
               ("fake customer service", 0.03))  # fmt: skip
_GANG_SIZE = 8


@dataclass(frozen=True)
class City:
    """Tenures as columns, one entry per (number, holder); `numbers` is indexed by `number`.

    Attributes:
        start_s, end_s: the tenure, epoch seconds; FAR_FUTURE_S while it lasts.
        previous: index of the number's former tenure, -1 if there is none in the window.
        gang: id of the gang, -1 for none.
        spoof_first, spoof_last: days (half-open) on which others forge this caller id; -1, -1.
        mark_factor: how much more often than its kind this number is marked.
        difficulty: chance in [0, 1] that a reporter takes it for something else (its decoy).
        decoy: index of the role's decoy that people take it for.
        shares_behaviour: whether its carrier sends aggregates, per number.
        cast: the numbers of the story, by part: tenure index.
    """

    numbers: Numbers
    number: NDArray[np.int64]
    role: NDArray[np.int64]
    start_s: NDArray[np.int64]
    end_s: NDArray[np.int64]
    previous: NDArray[np.int64]
    gang: NDArray[np.int64]
    spoof_first: NDArray[np.int64]
    spoof_last: NDArray[np.int64]
    mark_factor: NDArray[np.float64]
    difficulty: NDArray[np.float64]
    decoy: NDArray[np.int64]
    shares_behaviour: NDArray[np.bool_]
    cast: dict[str, int]

    @property
    def bad(self) -> NDArray[np.bool_]:
        """Whether each tenure's calls are unwanted."""
        return np.array([role.bad for role in ROLES])[self.role]


def build_city(rng: np.random.Generator, count: int, window: Window) -> City:
    """Peoples `count` numbers for the window."""
    role = _draw_roles(rng, count)
    kinds = _draw_kinds(rng, role)
    gang = _draw_gangs(rng, role)
    numbers = draw_numbers(rng, kinds, gang)
    start_s, end_s = _draw_tenures(rng, role, gang, window)
    cast = _choose_cast(role, kinds)
    _set_cast_tenures(cast, start_s, end_s, window)
    successor, next_role, next_start_s = _draw_reassignments(
        rng, kinds, role, start_s, end_s, window, cast
    )
    cast["recycled_next"] = count + int(np.flatnonzero(successor == cast["recycled"])[0])

    number = np.concatenate([np.arange(count), successor])
    role = np.concatenate([role, next_role])
    spoof_first, spoof_last = _draw_spoofing(rng, role, cast, window)
    mark_factor = rng.gamma(0.8, 1 / 0.8, len(role))
    difficulty = rng.beta(1.2, 6.0, len(role))
    decoy = _draw_decoys(rng, role)
    _set_cast_marks(cast, mark_factor, difficulty, decoy)
    shared = rng.random(count) < np.array([_SHARED_BEHAVIOUR[c] for c in range(4)])[numbers.carrier]
    shared[[number[tenure] for tenure in cast.values()]] = True
    return City(
        numbers=numbers,
        number=number,
        role=role,
        start_s=np.concatenate([start_s, next_start_s]),
        end_s=np.concatenate([end_s, np.full(len(successor), FAR_FUTURE_S)]),
        previous=np.concatenate([np.full(count, -1), successor]),
        gang=np.concatenate([gang, np.full(len(successor), -1)]),
        spoof_first=spoof_first,
        spoof_last=spoof_last,
        mark_factor=mark_factor,
        difficulty=difficulty,
        decoy=decoy,
        shares_behaviour=shared,
        cast=cast,
    )


def _draw_roles(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    counts = [max(1, round(role.share * count)) for role in ROLES]
    counts[0] = count - sum(counts[1:])
    return rng.permutation(np.repeat(np.arange(len(ROLES)), counts)).astype(np.int64)


def _draw_kinds(rng: np.random.Generator, role: NDArray[np.int64]) -> NDArray[np.int8]:
    weights = np.array([entry.kinds for entry in ROLES], dtype=np.float64)
    edges = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)[role]
    steps = rng.random(len(role))[:, None] >= edges[:, :-1]
    kinds: NDArray[np.int8] = steps.sum(axis=1, dtype=np.int8)
    public = np.flatnonzero(role == ROLE_INDEX["public service"])
    kinds[public[: len(plan.PUBLIC_LINES)][: max(1, len(public) // 2)]] = plan.SHORT
    lines_95 = np.flatnonzero(kinds == plan.N95)
    kinds[lines_95[int(0.8 * plan.capacity_95()) :]] = plan.FIXED
    return kinds


def _draw_gangs(rng: np.random.Generator, role: NDArray[np.int64]) -> NDArray[np.int64]:
    gang = np.full(len(role), -1, dtype=np.int64)
    last = 0
    for crime in CRIME_GANGS:
        members = rng.permutation(np.flatnonzero(role == crime))
        gang[members] = last + np.arange(len(members)) // _GANG_SIZE
        last = int(gang.max()) + 1
    return gang


def _draw_tenures(
    rng: np.random.Generator, role: NDArray[np.int64], gang: NDArray[np.int64], window: Window
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    count = len(role)
    churning = rng.random(count) < np.array([entry.churn for entry in ROLES])[role]
    low, high = (np.array([entry.tenure_days[i] for entry in ROLES])[role] for i in (0, 1))
    length = rng.integers(low, high + 1)
    latest = window.days - 4.0
    first_day = rng.uniform(-0.5 * length, latest)
    # The members of a gang take turns: when one number is burnt, the next is taken into use.
    turns = rng.uniform(0, 1, int(gang.max()) + 1)
    order = np.zeros(count)
    for members in _groups(gang):
        order[members] = np.arange(len(members)) / len(members)
    taking_turns = gang >= 0
    first_day[taking_turns] = (turns[gang[taking_turns]] + order[taking_turns]) % 1.0 * (
        latest + 3.0
    ) - 3.0
    long_ago = -rng.uniform(30, 2500, count)
    first_day = np.where(churning, first_day, long_ago)
    office_s = rng.integers(9 * 3600, 18 * 3600, count)
    start_s = (window.start_s + np.floor(first_day) * DAY_S + office_s).astype(np.int64)
    end_s = start_s + length * DAY_S
    lasting = ~churning | (end_s >= window.end_s)
    return start_s, np.where(lasting, FAR_FUTURE_S, end_s)


def _groups(gang: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    members = np.flatnonzero(gang >= 0)
    members = members[np.argsort(gang[members], kind="stable")]
    cuts = np.flatnonzero(np.diff(gang[members])) + 1
    return list(np.split(members, cuts))


def _draw_reassignments(
    rng: np.random.Generator,
    kinds: NDArray[np.int8],
    role: NDArray[np.int64],
    start_s: NDArray[np.int64],
    end_s: NDArray[np.int64],
    window: Window,
    cast: dict[str, int],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Draws which released numbers are assigned again inside the window.

    Carriers rest a number about 90 days (china.md section 6); so that a short window shows whole
    stories, the rest is at most half the window and never more than 90 days.
    """
    mobile = (kinds == plan.MOBILE) | (kinds == plan.MVNO)
    released = np.flatnonzero(mobile & (end_s < window.end_s))
    rest_days = rng.uniform(window.days / 12, min(90.0, window.days / 2), len(released))
    chosen = rng.random(len(released)) < _RECYCLED_RATIO
    weights = [weight for _, weight in _NEXT_ROLES]
    next_role = np.array([ROLE_INDEX[name] for name, _ in _NEXT_ROLES])[
        rng.choice(len(weights), size=len(released), p=weights)
    ]
    story = released == cast["recycled"]
    rest_days[story], chosen[story] = window.days / 4, True
    next_role[story] = ROLE_INDEX["private"]
    next_start_s = (end_s[released] + rest_days * DAY_S).astype(np.int64)
    chosen &= next_start_s < window.end_s - 4 * DAY_S
    return released[chosen], next_role[chosen], next_start_s[chosen]


def _draw_spoofing(
    rng: np.random.Generator, role: NDArray[np.int64], cast: dict[str, int], window: Window
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first = np.full(len(role), -1, dtype=np.int64)
    last = first.copy()
    open_to_it = (role == ROLE_INDEX["private"]) | (role == ROLE_INDEX["shop"])
    spoofed = open_to_it & (rng.random(len(role)) < _SPOOFED_RATIO)
    spoofed[list(cast.values())] = False
    spoofed[cast["spoofed"]] = True
    count = int(spoofed.sum())
    length = rng.integers(2, max(3, min(12, window.days // 3)), count)
    first[spoofed] = rng.integers(0, window.days - length)
    last[spoofed] = first[spoofed] + length
    first[cast["spoofed"]] = int(window.days * 0.7)
    last[cast["spoofed"]] = first[cast["spoofed"]] + max(3, window.days // 10)
    return first, last


def _draw_decoys(rng: np.random.Generator, role: NDArray[np.int64]) -> NDArray[np.int64]:
    width = max(len(entry.decoys) for entry in ROLES)
    weights = np.zeros((len(ROLES), width))
    for index, entry in enumerate(ROLES):
        weights[index, : len(entry.decoys)] = [weight for _, weight in entry.decoys]
    edges = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)[role]
    steps = rng.random(len(role))[:, None] >= edges[:, :-1]
    decoy: NDArray[np.int64] = steps.sum(axis=1, dtype=np.int64)
    return decoy


def _choose_cast(role: NDArray[np.int64], kinds: NDArray[np.int8]) -> dict[str, int]:
    def nth(name: str, rank: int = 0, kind: int | None = plan.MOBILE) -> int:
        of_role = np.flatnonzero(role == ROLE_INDEX[name])
        fitting = of_role if kind is None else of_role[kinds[of_role] == kind]
        return int((fitting if len(fitting) > rank else of_role)[rank])

    return {
        "courier": nth("courier"),
        "recycled": nth("insurance"),
        "fraud": nth("fake customer service"),
        "victim": nth("shop"),
        "one_ring": nth("one-ring"),
        "protected": nth("public service", kind=plan.SHORT),
        "unmarked": nth("education"),
        "spoofed": nth("private"),
    }


def _set_cast_tenures(
    cast: dict[str, int], start_s: NDArray[np.int64], end_s: NDArray[np.int64], window: Window
) -> None:
    noon = window.start_s + 12 * 3600
    for tenure in cast.values():
        start_s[tenure], end_s[tenure] = noon - 400 * DAY_S, FAR_FUTURE_S
    end_s[cast["recycled"]] = noon + int(window.days * 0.4) * DAY_S
    for part in ("fraud", "one_ring"):
        start_s[cast[part]] = noon + int(window.days * 0.6) * DAY_S


def _set_cast_marks(
    cast: dict[str, int],
    mark_factor: NDArray[np.float64],
    difficulty: NDArray[np.float64],
    decoy: NDArray[np.int64],
) -> None:
    factors = {"courier": 5.0, "recycled": 2.0, "recycled_next": 0.0, "fraud": 3.0, "victim": 14.0,
               "one_ring": 2.0, "protected": 5.0, "unmarked": 0.0, "spoofed": 1.0}  # fmt: skip
    for part, factor in factors.items():
        mark_factor[cast[part]] = factor
        difficulty[cast[part]] = 0.05
    # What these are taken for: a nuisance, a nuisance, the shop's own service desk.
    for part, share in (("courier", 0.55), ("protected", 0.75), ("fraud", 0.30)):
        difficulty[cast[part]] = share
        decoy[cast[part]] = 0

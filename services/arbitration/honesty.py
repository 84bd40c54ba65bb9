"""How far a mark can be taken at its word: what it looks like and who its reporter is. Pure.

A mark is honest with probability h, and then it follows its source's confusion matrix; else it says
what careless or colluding people of the source say, whatever the number is (the mixture of Hovy et
al. 2013, MACE, by mark instead of by worker). h is learned for kinds of marks, by what tells them
apart without looking at the label: whether a call is named, how old the account is, how many
others spoke in the same minutes, whether they travel together (china.md R07).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse, special
from scipy.sparse import csgraph

from services.common.places import groups, place

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

MINUTE_MS = 60_000
DAY_MS = 86_400_000

PROOFS, ACCOUNTS, BURSTS, RINGS = 4, 3, 3, 2
TRAITS = PROOFS * ACCOUNTS * BURSTS * RINGS
"""Kinds of marks: every combination of the four things that are looked at."""

NEW_ACCOUNT_MS = DAY_MS
"""An account is new for so long after its first mark."""
BURST_MS = 15 * MINUTE_MS
BURST_EDGES = (2, 4)
"""Others of the same source on the same number within BURST_MS: fewer than 2, 2 to 3, more."""
ODD_CHANCE = 1e-3
"""So many marks without a call that say the same, by chance at most so often, are odd."""
RING_NUMBERS = 2
RING_COMPANIONS = 3
"""A reporter is in a ring with at least so many others who share so many of its numbers."""
RING_REACH = 31
"""Neighbours in time on a number that a mark is paired with."""

LEVELS = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98])
"""Honesty is rounded to one of these, so that marks alike can be summed before they are weighed."""
QUARANTINE = 0.5
"""Up to it a mark is no more likely honest than not: B20, kept and shown, not counted."""

_START = 0.97
_PROOF_FACTOR = np.array([1.0, 0.8, 0.95, 0.45])
_ACCOUNT_FACTOR = np.array([0.95, 0.9, 1.0])
_BURST_FACTOR = np.array([1.0, 0.85, 0.5])
_RING_FACTOR = np.array([1.0, 0.55])
_POOLED_STRENGTH = 10.0
_SOURCE_STRENGTH = 30.0
_REPORTER_STRENGTH = 2.0
_RATIO_RANGE = (0.05, 1.2)


@dataclass(frozen=True)
class Reporters:
    """What is known of known reporters, r of them, ascending by key.

    Attributes:
        key: uint64 (r,).
        first_ms: int64 (r,), time of the first mark.
        ring: int64 (r,), id of the ring, 0 none.
        ratio: float64 (r,), honest marks over what marks of their kinds lead to expect.
    """

    key: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    first_ms: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    ring: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    ratio: F64 = field(default_factory=lambda: np.zeros(0))

    def find(self, reporter: U64) -> I64:
        """Place of each reporter, -1 for those that are not known."""
        order = np.argsort(reporter)  # keys in order are found many times as fast
        at, known = place(self.key, reporter[order])
        found = np.empty(len(reporter), dtype=np.int64)
        found[order] = np.where(known, at, -1)
        found[reporter == 0] = -1
        return found


@dataclass(frozen=True)
class Honesty:
    """What a pass has learned of honesty.

    Attributes:
        stratum: float64 (sources, TRAITS), share of honest marks.
        reporters: the known reporters.
        missing: float64 (sources,), share of people's marks that name no call.
    """

    stratum: F64
    reporters: Reporters
    missing: F64

    def of_marks(self, source_at: I64, trait: I64, reporter_at: I64) -> I64:
        """Place in LEVELS of each mark's honesty, (m,)."""
        ratio = np.append(self.reporters.ratio, 1.0)[reporter_at]  # the last one for -1
        honest = self.stratum[source_at, trait] * ratio
        middle = (LEVELS[1:] + LEVELS[:-1]) / 2
        return np.searchsorted(middle, honest).astype(np.int64)


def expected_strata() -> F64:
    """Honesty of each kind before anything was learned, (TRAITS,)."""
    grid = (
        _PROOF_FACTOR[:, None, None, None]
        * _ACCOUNT_FACTOR[None, :, None, None]
        * _BURST_FACTOR[None, None, :, None]
        * _RING_FACTOR[None, None, None, :]
    )
    return np.asarray(_START * grid.ravel())


def starting_honesty(source_count: int) -> Honesty:
    """What is believed before any pass."""
    count = max(source_count, 1)
    return Honesty(np.tile(expected_strata(), (count, 1)), Reporters(), np.full(count, 0.1))


def traits(
    number_at: I64,
    source_at: I64,
    says_at: I64,
    occurred_ms: I64,
    has_reporter: Mask,
    reporter_at: I64,
    gives_call: Mask,
    has_call: Mask,
    by_person: Mask,
    missing: F64,
    reporters: Reporters,
) -> I64:
    """Kind of each mark, (m,) below TRAITS; looks at nothing but marks on the same number.

    Args:
        number_at, source_at, occurred_ms: (m,) each.
        says_at: category that each means most; only who says the same matters, not what.
        has_reporter: whether the source names one.
        reporter_at: its place in `reporters`, -1 unknown.
        gives_call: whether the source names calls at all.
        has_call: whether the mark names one.
        by_person: whether a person made it; rules and imports need no call.
        missing: (sources,), share of each source's marks without a call.
        reporters: known ones; any other account is new.
    """
    without = ~has_call & by_person
    first = np.append(reporters.first_ms, 0)[reporter_at]
    first = np.where(reporter_at >= 0, first, occurred_ms)
    ring = np.append(reporters.ring, 0)[reporter_at]
    account = np.where(has_reporter, np.where(occurred_ms - first < NEW_ACCOUNT_MS, 1, 2), 0)
    others = _near(number_at, source_at, np.where(by_person, occurred_ms, -1))
    # Without a name, many marks may be one reporter's or a crowd's: nothing can be told.
    told = by_person & has_reporter
    burst = np.where(told, np.searchsorted(BURST_EDGES, others, side="right"), 0)
    in_ring = (ring > 0) & (_same(number_at, ring) >= RING_COMPANIONS)
    odd = _odd(number_at, source_at, says_at, without & gives_call, by_person, missing)
    proof = np.where(without, np.where(gives_call, 1, 2), 0)
    # Among many who say the same without a call, those who name one are no better if their
    # accounts are new, or if they came with the others.
    with_them = told & ((burst == BURSTS - 1) | in_ring | (account == 1))
    proof[odd & gives_call & (without | with_them)] = 3
    return np.asarray(((proof * ACCOUNTS + account) * BURSTS + burst) * RINGS + in_ring)


def lacks_call(trait: I64) -> Mask:
    """Which kinds name no call where they could, (m,)."""
    proof = trait // (ACCOUNTS * BURSTS * RINGS)
    return np.asarray((proof == 1) | (proof == 3))


def missing_calls(people: F64, without: F64) -> F64:
    """Share of people's marks without a call, by source; ten marks at a tenth are added."""
    return np.asarray((without + 1.0) / (people + 10.0))


def _odd(
    number_at: I64, source_at: I64, says_at: I64, without: Mask, by_person: Mask, missing: F64
) -> Mask:
    """Whether too many that say the same of a number in one source name no call, (m,)."""
    odd = np.zeros(len(number_at), dtype=bool)
    if not without.any():
        return odd
    pair = number_at * len(missing) + source_at
    rows = np.flatnonzero(by_person & (np.bincount(pair, without)[pair] > 1))
    if not len(rows):
        return odd  # one alone is never odd enough
    crowd, at, people = groups(pair[rows] * (int(says_at.max()) + 1) + says_at[rows])
    lacking = np.bincount(at, without[rows], minlength=len(crowd))
    chance = special.bdtrc(lacking[at] - 1, people[at], missing[source_at[rows]])
    odd[rows] = (lacking[at] > 1) & (chance < ODD_CHANCE)
    return odd


def _near(number_at: I64, source_at: I64, occurred_ms: I64) -> I64:
    """Other marks of the same source on the same number within BURST_MS, (m,)."""
    if not len(number_at):
        return np.zeros(0, dtype=np.int64)
    pair = number_at * (int(source_at.max()) + 1) + source_at
    near = np.zeros(len(pair), dtype=np.int64)
    # Only pairs that are large enough to hold a burst are looked at.
    rows = np.flatnonzero(np.bincount(pair)[pair] > BURST_EDGES[0])
    if not len(rows):
        return near
    rows = rows[np.lexsort((occurred_ms[rows], pair[rows]))]
    group = np.cumsum(np.append(0, np.diff(pair[rows]) != 0))
    time = occurred_ms[rows] - occurred_ms[rows].min()
    axis = group * (int(time.max()) + 4 * BURST_MS) + time
    low = np.searchsorted(axis, axis - BURST_MS, side="left")
    high = np.searchsorted(axis, axis + BURST_MS, side="right")
    near[rows] = high - low - 1
    return near


def _same(number_at: I64, ring: I64) -> I64:
    """Marks of the same ring on the same number, (m,), the mark itself included."""
    if not ring.any():
        return np.zeros(len(ring), dtype=np.int64)
    _, at, count = groups(number_at * (ring.max() + 1) + ring)
    return np.asarray(count[at])


class Rings:
    """Finds reporters who move together, from crowds on numbers, range after range of numbers.

    Two reporters are companions if they marked RING_NUMBERS numbers both, within RING_REACH marks
    of one another; rings are the connected parts of those with RING_COMPANIONS or more.
    """

    def __init__(self, key: U64) -> None:
        """Take the known reporters, ascending."""
        self._key = key
        self._pairs: list[I64] = []

    def add(self, number: I64, source_at: I64, reporter: U64) -> None:
        """Take marks on numbers that no other call has, ascending by number and time."""
        at = np.searchsorted(self._key, reporter)
        self._pairs.extend(_together(number, source_at, at, len(self._key)))

    def reporters(self, first_ms: I64) -> Reporters:
        """The known reporters with the times of their first marks; ratios are 1."""
        ring = _rings(self._pairs, len(self._key))
        return Reporters(self._key, first_ms.astype(np.int64), ring, np.ones(len(self._key)))


def _together(number: I64, source_at: I64, at: I64, count: int) -> Iterator[I64]:
    """Pairs of different reporters, lower * count + higher, once for each number both marked."""
    if not len(number):
        return
    order = np.lexsort((source_at, number))  # stable: times stay in order
    number, source_at, at = number[order], source_at[order], at[order]
    begins = np.append(True, (number[1:] != number[:-1]) | (source_at[1:] != source_at[:-1]))
    group = np.cumsum(begins) - 1
    _, once = np.unique(group * count + at, return_index=True)  # a repeat is no companion
    once.sort()
    group, at = group[once], at[once]
    for step in range(1, RING_REACH + 1):
        same = group[step:] == group[:-step]
        if not same.any():
            return
        one, other = at[:-step][same], at[step:][same]
        yield np.minimum(one, other) * count + np.maximum(one, other)


def _rings(pairs: list[I64], count: int) -> I64:
    ring = np.zeros(count, dtype=np.int64)
    if not pairs:
        return ring
    pair, times = np.unique(np.concatenate(pairs), return_counts=True)
    pair = pair[times >= RING_NUMBERS]
    one, other = pair // count, pair % count
    companions = np.bincount(one, minlength=count) + np.bincount(other, minlength=count)
    close = (companions[one] >= RING_COMPANIONS) & (companions[other] >= RING_COMPANIONS)
    one, other = one[close], other[close]
    if not len(one):
        return ring
    graph = sparse.coo_array((np.ones(len(one)), (one, other)), shape=(count, count))
    _, part = csgraph.connected_components(graph, directed=False)
    members = np.unique(np.concatenate([one, other]))
    ring[members] = part[members] + 1
    return ring


@dataclass
class Tally:
    """Sums of what marks turned out to be, over any number of calls.

    Attributes:
        seen, honest: float64 (sources, TRAITS), marks by how much they tell, and the honest ones.
        did, due: float64 (reporters,), honest marks, and those that their kinds lead to expect.
    """

    seen: F64
    honest: F64
    did: F64
    due: F64

    @classmethod
    def of(cls, honesty: Honesty) -> "Tally":
        """Nothing yet."""
        known = len(honesty.reporters.key)
        return cls(
            np.zeros_like(honesty.stratum), np.zeros_like(honesty.stratum), np.zeros(known),
            np.zeros(known),
        )  # fmt: skip

    def add(
        self,
        honesty: Honesty,
        source_at: I64,
        trait: I64,
        reporter_at: I64,
        responsibility: F64,
        telling: F64,
    ) -> None:
        """Count marks.

        Args:
            honesty: what their kinds lead to expect.
            source_at, trait, reporter_at: (m,).
            responsibility: (m,), probability that each is honest, by what others say.
            telling: (m,) in [0, 1], how much the others say at all; 0 judges nothing.
        """
        cell, size = source_at * TRAITS + trait, self.seen.size
        right = telling * responsibility
        self.seen += np.bincount(cell, telling, size).reshape(self.seen.shape)
        self.honest += np.bincount(cell, right, size).reshape(self.seen.shape)
        there = reporter_at >= 0
        at, expected = reporter_at[there], telling * honesty.stratum[source_at, trait]
        self.did += np.bincount(at, right[there], len(self.did))
        self.due += np.bincount(at, expected[there], len(self.due))

    def strata(self) -> F64:
        """Share of honest marks of each kind, by source, (sources, TRAITS)."""
        pooled = (self.honest.sum(axis=0) + _POOLED_STRENGTH * expected_strata()) / (
            self.seen.sum(axis=0) + _POOLED_STRENGTH
        )
        return np.asarray(
            (self.honest + _SOURCE_STRENGTH * pooled) / (self.seen + _SOURCE_STRENGTH)
        )

    def ratios(self) -> F64:
        """Honest marks of each reporter over expected ones, (reporters,)."""
        ratio = (self.did + _REPORTER_STRENGTH) / (self.due + _REPORTER_STRENGTH)
        return np.asarray(np.clip(ratio, *_RATIO_RANGE))


def with_ratios(honesty: Honesty, ratio: F64) -> Honesty:
    """The same with other records of the reporters."""
    return replace(honesty, reporters=replace(honesty.reporters, ratio=ratio))

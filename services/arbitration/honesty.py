"""How far a mark can be taken at its word: what it looks like and who its reporter is. Pure.

A mark is honest with probability h, and then it follows its source's confusion matrix; else it says
what careless or colluding people of the source say, whatever the number is (the mixture of Hovy et
al. 2013, MACE, by mark instead of by worker). h is learned for kinds of marks, by what tells them
apart without looking at the label: whether a call is named, how old the account is, how many
others spoke in the same minutes, whether they travel together (china.md R07).
"""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse, special
from scipy.sparse import csgraph

from services.common.places import place

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
"""So many marks of a source on a number without a call, by chance at most so often, are odd."""
RING_NUMBERS = 2
RING_COMPANIONS = 3
"""A reporter is in a ring with at least so many others who share so many of its numbers."""
RING_REACH = 31
"""Neighbours in time on a number that a mark is paired with."""

LEVELS = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98])
"""Honesty is rounded to one of these, so that marks alike can be summed before they are weighed."""
QUARANTINE = 0.5
"""Below it a mark is more likely dishonest than not: B20, kept and shown, not counted."""

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
        at, known = place(self.key, reporter)
        return np.where(known & (reporter != 0), at, -1)


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


def starting_honesty(source_count: int, reporters: Reporters) -> Honesty:
    """What is believed before any pass."""
    count = max(source_count, 1)
    return Honesty(np.tile(expected_strata(), (count, 1)), reporters, np.full(count, 0.1))


def traits(
    number_at: I64,
    source_at: I64,
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
    odd = _odd(number_at, source_at, without & gives_call, by_person, missing)
    proof = np.where(without, np.where(gives_call, 1, 2), 0)
    # In a crowd that mostly names no call, the few who do and came with it are no better.
    proof[odd & gives_call & (without | (told & ((burst == BURSTS - 1) | in_ring)))] = 3
    return np.asarray(((proof * ACCOUNTS + account) * BURSTS + burst) * RINGS + in_ring)


def lacks_call(trait: I64) -> Mask:
    """Which kinds name no call where they could, (m,)."""
    proof = trait // (ACCOUNTS * BURSTS * RINGS)
    return np.asarray((proof == 1) | (proof == 3))


def missing_calls(source_at: I64, has_call: Mask, by_person: Mask, sources: int) -> F64:
    """Share of people's marks without a call, by source, (sources,); ten of them at a tenth."""
    people = np.bincount(source_at[by_person], minlength=sources)
    without = np.bincount(source_at[by_person & ~has_call], minlength=sources)
    return np.asarray((without + 1.0) / (people + 10.0))


def _odd(number_at: I64, source_at: I64, without: Mask, by_person: Mask, missing: F64) -> Mask:
    """Whether too many of a source's marks on the number name no call, by the binomial tail."""
    if not without.any():
        return np.zeros(len(number_at), dtype=bool)
    _, pair = np.unique(number_at * len(missing) + source_at, return_inverse=True)
    people = np.bincount(pair, by_person).astype(np.int64)
    lacking = np.bincount(pair, without)
    share = np.zeros(len(people))
    share[pair] = missing[source_at]
    return np.asarray((special.bdtrc(lacking - 1, people, share) < ODD_CHANCE)[pair])


def _near(number_at: I64, source_at: I64, occurred_ms: I64) -> I64:
    """Other marks of the same source on the same number within BURST_MS, (m,)."""
    if not len(number_at):
        return np.zeros(0, dtype=np.int64)
    pair = number_at * (int(source_at.max()) + 1) + source_at
    order = np.lexsort((occurred_ms, pair))
    time = occurred_ms[order]
    begins = np.flatnonzero(np.append(True, np.diff(pair[order]) != 0))
    sizes = np.diff(np.append(begins, len(order)))
    # Only pairs that are large enough to hold a burst are looked at.
    crowded = np.repeat(sizes > BURST_EDGES[0], sizes)
    near = np.zeros(len(order), dtype=np.int64)
    group = np.repeat(np.arange(len(sizes)), sizes)[crowded]
    axis = group * (int(time.max()) - int(time.min()) + 4 * BURST_MS) + time[crowded] - time.min()
    low = np.searchsorted(axis, axis - BURST_MS, side="left")
    high = np.searchsorted(axis, axis + BURST_MS, side="right")
    near[crowded] = high - low - 1
    others = np.empty_like(near)
    others[order] = near
    return others


def _same(number_at: I64, ring: I64) -> I64:
    """Marks of the same ring on the same number, (m,), the mark itself included."""
    if not ring.any():
        return np.zeros(len(ring), dtype=np.int64)
    _, at, count = np.unique(
        number_at * (ring.max() + 1) + ring, return_inverse=True, return_counts=True
    )
    return np.asarray(count[at])


def meet(number_at: I64, source_at: I64, occurred_ms: I64, reporter: U64) -> Reporters:
    """The known reporters of marks with their first marks and rings; ratios are 1.

    Two reporters are companions if they marked RING_NUMBERS numbers both, within RING_REACH marks
    of one another; rings are the connected parts of those with RING_COMPANIONS or more.
    """
    known = reporter != 0
    key, at = np.unique(reporter[known], return_inverse=True)
    first = np.full(len(key), np.iinfo(np.int64).max)
    np.minimum.at(first, at, occurred_ms[known])
    ring = _rings(number_at[known], source_at[known], occurred_ms[known], at, len(key))
    return Reporters(key, first, ring, np.ones(len(key)))


def _rings(number_at: I64, source_at: I64, occurred_ms: I64, at: I64, count: int) -> I64:
    often = np.bincount(at, minlength=count)[at] >= RING_NUMBERS
    number_at, source_at, occurred_ms, at = (
        column[often] for column in (number_at, source_at, occurred_ms, at)
    )
    order = np.lexsort((occurred_ms, source_at, number_at))
    number_at, source_at, at = number_at[order], source_at[order], at[order]
    pairs = []
    for step in range(1, RING_REACH + 1):
        same = (number_at[step:] == number_at[:-step]) & (source_at[step:] == source_at[:-step])
        if not same.any():
            break
        one, other = at[:-step][same], at[step:][same]
        pairs.append(np.minimum(one, other) * count + np.maximum(one, other))
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


def learn_honesty(
    before: Honesty,
    source_at: I64,
    trait: I64,
    reporter_at: I64,
    responsibility: F64,
    telling: F64,
) -> Honesty:
    """Honesty anew from what each mark turned out to be.

    Args:
        before: what was believed; its reporters are kept.
        source_at, trait, reporter_at: (m,).
        responsibility: (m,), probability that the mark is honest, by what others say.
        telling: (m,) in [0, 1], how much the others say at all; 0 judges nothing.
    """
    sources = len(before.stratum)
    cell = source_at * TRAITS + trait
    seen = np.bincount(cell, telling, minlength=sources * TRAITS).reshape(sources, TRAITS)
    honest = np.bincount(cell, telling * responsibility, minlength=sources * TRAITS)
    honest = honest.reshape(sources, TRAITS)
    pooled = (honest.sum(axis=0) + _POOLED_STRENGTH * expected_strata()) / (
        seen.sum(axis=0) + _POOLED_STRENGTH
    )
    stratum = (honest + _SOURCE_STRENGTH * pooled) / (seen + _SOURCE_STRENGTH)
    known = before.reporters
    if not len(known.key):
        return replace(before, stratum=stratum)
    there = reporter_at >= 0
    at = reporter_at[there]
    did = np.bincount(at, (telling * responsibility)[there], minlength=len(known.key))
    due = np.bincount(at, (telling * stratum[source_at, trait])[there], minlength=len(known.key))
    ratio = np.clip((did + _REPORTER_STRENGTH) / (due + _REPORTER_STRENGTH), *_RATIO_RANGE)
    return replace(before, stratum=stratum, reporters=replace(known, ratio=ratio))

"""Published rows from what arbitration and scoring found. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.common.numbering import from_key, kinds_of
from services.common.numbering.prefixes import Prefixes
from services.common.places import place
from services.common.taxonomy import standard
from services.reputation.published.packing import Columns, rounded
from services.reputation.rules import (
    PROTECTED_IDENTITIES,
    RULES,
    UNDECIDED,
    Findings,
    decide,
)

I64 = npt.NDArray[np.int64]
DAY_MS = 86_400_000
GRAVE = 3
"""Severity of a signal from which it counts as evidence for an illegal label."""
NONE: I64 = np.zeros(0, dtype=np.int64)


class Registry:
    """Which numbers are protected, and for what purpose they are registered."""

    def __init__(
        self,
        numbers: Sequence[int],
        prefixes: Sequence[str],
        identities: Sequence[str],
        purposes: Sequence[str],
    ) -> None:
        codes = standard.load()
        exact: dict[int, int] = {}
        ranges: dict[str, int] = {}
        for key, prefix, identity, purpose in zip(
            numbers, prefixes, identities, purposes, strict=True
        ):
            if identity in PROTECTED_IDENTITIES:
                category = codes.category(purpose).id if purpose else 0
                if key:
                    exact[key] = category
                else:
                    ranges[prefix] = category
        self._keys = np.array(sorted(exact), dtype=np.int64)
        self._purposes = np.array([exact[key] for key in sorted(exact)], dtype=np.int64)
        self._ranges = Prefixes(ranges)

    def purposes(self, numbers: I64) -> I64:
        """Category registered for each number, (n,): -1 not protected, 0 without a purpose.

        A row of its own comes before the longest prefix.
        """
        found = np.full(len(numbers), -1, dtype=np.int64)
        if self._ranges:
            for i, key in enumerate(numbers.tolist()):
                category = self._ranges.find(from_key(key).number)
                found[i] = -1 if category is None else category
        if len(self._keys):
            at, there = place(self._keys, numbers)
            found = np.where(there, self._purposes[at], found)
        return found


@dataclass(frozen=True)
class Judged:
    """What arbitration and scoring say of n numbers, ascending.

    Attributes:
        number: int64 (n,).
        categories, probabilities: (n, 5), most probable first, padded with 0.
        counts: reporter_count, mark_count, former_mark_count, epoch, first_mark_ms, last_mark_ms.
        effective_sources: (n,).
        decided: int64 (n,), UNDECIDED, 0 cleared or the category.
        risk: float64 (n,).
        reasons: (n,), feature names joined with ';'.
        signals: what fired of each number, none by default.
    """

    number: I64
    categories: npt.NDArray[np.uint16]
    probabilities: npt.NDArray[np.float32]
    counts: dict[str, I64]
    effective_sources: npt.NDArray[np.float64]
    decided: I64
    risk: npt.NDArray[np.float64]
    reasons: Sequence[str]
    signals: "Fired | None" = None


@dataclass(frozen=True)
class Fired:
    """Signals, a row a number and code, ascending by number.

    Attributes:
        number: int64 (s,).
        code: (s,), of axis B.
        victim: bool (s,): others forge the number.
    """

    number: I64
    code: Sequence[str]
    victim: npt.NDArray[np.bool_]

    def by_number(
        self, numbers: I64
    ) -> tuple[list[str], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Codes joined with ';', whether a grave one is among them, and whether it is a victim."""
        codes = [""] * len(numbers)
        grave, victim = np.zeros(len(numbers), dtype=bool), np.zeros(len(numbers), dtype=bool)
        at, there = place(numbers, self.number)
        for row in np.flatnonzero(there).tolist():
            i, code = int(at[row]), self.code[row]
            codes[i] = f"{codes[i]};{code}" if codes[i] else code
            grave[i] |= (standard.load().behaviour(code).severity or 0) >= GRAVE
            victim[i] |= self.victim[row]
        return codes, grave & ~victim, victim


def compose(
    judged: Judged,
    registry: Registry,
    version: int,
    update_ms: int,
    model_version: str,
    disputed: I64 = NONE,
) -> Columns:
    """Rows to publish, in the order of the numbers; `disputed`: those with an open dispute."""
    count = len(judged.number)
    category = judged.categories[:, 0].astype(np.int64)
    same_group = judged.categories // 1000 == judged.categories[:, :1] // 1000
    nothing = Fired(NONE, (), np.zeros(0, dtype=bool))
    codes, grave, victim = (judged.signals or nothing).by_number(judged.number)
    found = Findings(
        kind=kinds_of(judged.number),
        registered=registry.purposes(judged.number),
        category=category,
        probability=judged.probabilities[:, 0].astype(np.float64),
        group_probability=np.where(same_group, judged.probabilities, 0.0).sum(axis=1),
        age_half_lives=_ages(category, update_ms - judged.counts["last_mark_ms"]),
        risk=judged.risk,
        reporter_count=judged.counts["reporter_count"],
        mark_count=judged.counts["mark_count"],
        effective_sources=judged.effective_sources,
        decided=judged.decided,
        disputed=np.isin(judged.number, disputed),
        signal=grave,
        spoofed=victim,
    )
    published = decide(found)
    rule_ids = np.array([rule.rule_id for rule in RULES], dtype=object)
    first = [rule.reason for rule in RULES]
    reasons = np.empty(count, dtype=object)
    parts = zip(published.rule.tolist(), codes, judged.reasons, strict=True)
    for i, (rule, fired, features) in enumerate(parts):
        reasons[i] = ";".join(part for part in (first[rule], fired, features) if part)
    model = np.empty(count, dtype=object)
    model[:] = model_version
    decided = judged.decided != UNDECIDED
    return rounded(
        {
            "number": judged.number,
            "version": np.full(count, version, dtype=np.uint64),
            "category": published.category,
            "probability": published.probability,
            "categories": judged.categories,
            "probabilities": judged.probabilities,
            "risk": np.where(
                decided,
                np.where(judged.decided > 0, np.maximum(judged.risk, 0.99), 0.01),
                judged.risk,
            ).astype(np.float32),
            "level": published.level,
            "state": published.state,
            "rule": rule_ids[published.rule],
            "effective_sources": judged.effective_sources.astype(np.float32),
            "mark_count": judged.counts["mark_count"].astype(np.uint32),
            "former_mark_count": judged.counts["former_mark_count"].astype(np.uint32),
            "first_mark_ms": judged.counts["first_mark_ms"],
            "last_mark_ms": judged.counts["last_mark_ms"],
            "reasons": reasons,
            "epoch": judged.counts["epoch"].astype(np.uint32),
            "update_ms": np.full(count, update_ms, dtype=np.int64),
            "model_version": model,
        }
    )


def _ages(category: I64, age_ms: I64) -> npt.NDArray[np.float64]:
    """Age of the newest mark in half-lives of the category, (n,)."""
    codes = standard.load()
    known = np.unique(category[category > 0])
    if not len(known):
        return np.zeros(len(category))
    half_life_ms = np.array([codes.category_of_id(int(c)).half_life_days * DAY_MS for c in known])
    at = np.minimum(np.searchsorted(known, category), len(known) - 1)
    return np.where(category > 0, np.maximum(age_ms, 0) / half_life_ms[at], 0.0)

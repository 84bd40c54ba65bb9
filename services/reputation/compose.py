"""Published rows from what arbitration and scoring found. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.common.numbering import from_key, kinds_of
from services.reputation.rules import PROTECTED_IDENTITIES, RULES, UNDECIDED, Findings, decide
from services.reputation.state import Columns

I64 = npt.NDArray[np.int64]
MAX_REASONS = 5
NONE: I64 = np.zeros(0, dtype=np.int64)


class Registry:
    """Which numbers are protected."""

    def __init__(
        self, numbers: Sequence[int], prefixes: Sequence[str], identities: Sequence[str]
    ) -> None:
        rows = list(zip(numbers, prefixes, identities, strict=True))
        kept = [row for row in rows if row[2] in PROTECTED_IDENTITIES]
        self._keys = np.array(sorted({key for key, _, _ in kept if key}), dtype=np.int64)
        self._prefixes = tuple(prefix for key, prefix, _ in kept if not key)

    def protects(self, numbers: I64) -> npt.NDArray[np.bool_]:
        """Whether each number is protected, bool (n,)."""
        found = np.isin(numbers, self._keys)
        if self._prefixes:
            for i, key in enumerate(numbers.tolist()):
                digits = from_key(key).number.lstrip("+")
                found[i] |= digits.removeprefix("86").startswith(self._prefixes)
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
    """

    number: I64
    categories: npt.NDArray[np.uint16]
    probabilities: npt.NDArray[np.float32]
    counts: dict[str, I64]
    effective_sources: npt.NDArray[np.float64]
    decided: I64
    risk: npt.NDArray[np.float64]
    reasons: Sequence[str]


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
    found = Findings(
        kind=kinds_of(judged.number),
        protected=registry.protects(judged.number),
        category=judged.categories[:, 0].astype(np.int64),
        probability=judged.probabilities[:, 0].astype(np.float64),
        family_probability=np.where(
            judged.categories // 100 == judged.categories[:, :1] // 100, judged.probabilities, 0.0
        ).sum(axis=1),
        risk=judged.risk,
        reporter_count=judged.counts["reporter_count"],
        mark_count=judged.counts["mark_count"],
        effective_sources=judged.effective_sources,
        decided=judged.decided,
        disputed=np.isin(judged.number, disputed),
    )
    published = decide(found)
    rule_ids = np.array([rule.rule_id for rule in RULES], dtype=object)
    first = [rule.reason for rule in RULES]
    reasons = np.empty(count, dtype=object)
    for i, (rule, features) in enumerate(zip(published.rule.tolist(), judged.reasons, strict=True)):
        reasons[i] = ";".join(part for part in (first[rule], features) if part)
    model = np.empty(count, dtype=object)
    model[:] = model_version
    decided = judged.decided != UNDECIDED
    return {
        "number": judged.number,
        "version": np.full(count, version, dtype=np.uint64),
        "category": published.category,
        "probability": published.probability,
        "categories": judged.categories,
        "probabilities": judged.probabilities,
        "risk": np.where(
            decided, np.where(judged.decided > 0, np.maximum(judged.risk, 0.99), 0.01), judged.risk
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

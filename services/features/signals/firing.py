"""Which rules fired for which numbers, counted where the aggregates are."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common.numbering import from_key, kinds_of
from services.common.numbering.prefixes import Prefixes
from services.common.places import place
from services.common.store import Store
from services.features import queries
from services.features.signals.rules import Signals

I64 = npt.NDArray[np.int64]
FORGED = "B09"
COLUMNS = ("number", "code", "version", "days", "last_day", "victim")


def fired(store: Store, as_of_ms: int, numbers: I64 | None, signals: Signals) -> pa.Table:
    """COLUMNS of every rule that fired in the window before a time, by number and code.

    Args:
        numbers: ascending; None: all.
        signals: the rules.
    """
    found = queries.rule_days(store, as_of_ms, numbers, signals)
    number = found["number"].to_numpy().astype(np.int64)
    kinds = kinds_of(number)
    own, active = found["own_days"].to_numpy(), found["active_days"].to_numpy()
    victims = (own >= signals.victim.own_days) & (own >= signals.victim.own_days_ratio * active)
    parts: list[dict[str, npt.NDArray[Any]]] = []
    for rule in signals.rules:
        days = found[f"days_{rule.code}"].to_numpy()
        rows = days > 0
        if rule.kinds:
            rows &= np.isin(kinds, [int(kind) for kind in rule.kinds])
        if rule.is_outbound_forbidden and rows.any():
            rows &= _inbound_only(store, as_of_ms, number, rows)
        at = np.flatnonzero(rows)
        parts.append(
            {
                "number": number[at],
                "code": np.full(len(at), rule.code, dtype=object),
                "version": np.full(len(at), rule.version, dtype=np.uint32),
                "days": days[at].astype(np.uint32),
                "last_day": found[f"last_{rule.code}"].to_numpy()[at].astype(np.int32),
                "victim": (victims[at] & (rule.code == FORGED)).astype(np.uint8),
            }
        )
    columns = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    order = np.lexsort((columns["code"].astype(str), columns["number"]))
    return pa.table({name: column[order] for name, column in columns.items()})


def _inbound_only(
    store: Store, as_of_ms: int, numbers: I64, asked: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which of the asked numbers are registered as inbound only: own row, then longest prefix."""
    rows = queries.outbound(store, as_of_ms).to_pylist()
    exact = {row["number"]: row["outbound_allowed"] for row in rows if row["number"]}
    ranges = Prefixes({row["prefix"]: row["outbound_allowed"] for row in rows if row["prefix"]})
    keys = np.array(sorted(exact), dtype=np.int64)
    _, there = place(keys, numbers)
    found = np.zeros(len(numbers), dtype=bool)
    for at in np.flatnonzero(asked & (there | bool(ranges))).tolist():
        key = int(numbers[at])
        allowed = exact.get(key, ranges.find(from_key(key).number))
        found[at] = allowed == 0
    return found

"""Which rules fired for which numbers: of all, counted where the aggregates are; of some, here.

tests/store/test_signals.py holds both to be equal.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common.numbering import from_key, kinds_of
from services.common.numbering.prefixes import Prefixes
from services.common.places import place, runs
from services.common.registrations import in_force
from services.common.store import Store
from services.features import queries
from services.features.columns import Aggregates, columns_of
from services.features.number_rows import brought_together, china_day
from services.features.signals.rules import Signals

I64 = npt.NDArray[np.int64]
FORGED = "B09"
COLUMNS = ("number", "code", "version", "days", "last_day", "victim")


def fired(store: Store, as_of_ms: int, signals: Signals) -> pa.Table:
    """COLUMNS of every rule that fired in the window before a time, by number and code."""
    found = columns_of(queries.rule_days(store, as_of_ms, signals))
    return _of_numbers(store, as_of_ms, found, signals)


def fired_on(store: Store, as_of_ms: int, days: Aggregates, signals: Signals) -> pa.Table:
    """`fired` of the numbers whose `days`, those of `touched.days_of`, were read."""
    return _of_numbers(store, as_of_ms, rule_days_of(days, as_of_ms, signals), signals)


def rule_days_of(days: Aggregates, as_of_ms: int, signals: Signals) -> Aggregates:
    """What `queries.rule_days` tells, of the numbers whose days were read."""
    in_window = days["day"] >= china_day(as_of_ms) - signals.window_days
    order = np.flatnonzero(in_window)
    order = order[np.argsort(days["number"][order], kind="stable")]
    rows = {name: column[order] for name, column in days.items()}
    numbers, starts, count = runs(rows["number"])

    def counted(holds: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        return brought_together("sum", holds.astype(np.int64), starts, count)

    found: dict[str, npt.NDArray[Any]] = {"number": numbers}
    for rule in signals.rules:
        holds = rule.holds(rows)
        found[f"days_{rule.code}"] = counted(holds)
        last = np.where(holds, rows["day"], 0)
        found[f"last_{rule.code}"] = brought_together("max", last, starts, count)
    calls = rows["calls_out"] > 0
    found["active_days"] = counted(calls)
    few_failed = rows["auth_failed_calls"] <= signals.victim.failed_ratio * rows["calls_out"]
    found["own_days"] = counted(calls & few_failed)
    return found


def _of_numbers(store: Store, as_of_ms: int, found: Aggregates, signals: Signals) -> pa.Table:
    number = found["number"].astype(np.int64)
    kinds = kinds_of(number)
    own, active = found["own_days"], found["active_days"]
    victims = (own >= signals.victim.own_days) & (own >= signals.victim.own_days_ratio * active)
    parts: list[dict[str, npt.NDArray[Any]]] = []
    for rule in signals.rules:
        days = found[f"days_{rule.code}"]
        rows = days > 0
        if rule.kinds:
            rows &= np.isin(kinds, [int(kind) for kind in rule.kinds])
        if rule.is_outbound_forbidden and rows.any():
            rows[rows] = _inbound_only(store, as_of_ms, number[rows])
        at = np.flatnonzero(rows)
        parts.append(
            {
                "number": number[at],
                "code": np.full(len(at), rule.code, dtype=object),
                "version": np.full(len(at), rule.version, dtype=np.uint32),
                "days": days[at].astype(np.uint32),
                "last_day": found[f"last_{rule.code}"][at].astype(np.int32),
                "victim": (victims[at] & (rule.code == FORGED)).astype(np.uint8),
            }
        )
    columns = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    order = np.lexsort((columns["code"].astype(str), columns["number"]))
    return pa.table({name: column[order] for name, column in columns.items()})


def _inbound_only(store: Store, as_of_ms: int, numbers: I64) -> npt.NDArray[np.bool_]:
    """Which numbers, ascending, are registered as inbound only: own row, then longest prefix."""
    columns = "number, prefix, outbound_allowed"
    rows = in_force(store, columns, as_of_ms, np.append(numbers, 0)).to_pylist()
    exact = {row["number"]: row["outbound_allowed"] for row in rows if row["number"]}
    ranges = Prefixes({row["prefix"]: row["outbound_allowed"] for row in rows if row["prefix"]})
    keys = np.array(sorted(exact), dtype=np.int64)
    _, there = place(keys, numbers)
    found = np.zeros(len(numbers), dtype=bool)
    for at in np.flatnonzero(there | bool(ranges)).tolist():
        key = int(numbers[at])
        allowed = exact.get(key, ranges.find(from_key(key).number))
        found[at] = allowed == 0
    return found

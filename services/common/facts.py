"""What tables of facts say of a number, once more: number by number, each row in one piece.

The features of a touched number are summed from four tables with fifty columns. Asking these takes
four statements, each of which costs more than what it reads; here one reads one column. Ingest
writes these rows before the commit record, and at its start completes what is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common import lease
from services.common.lease import Fence
from services.common.places import place
from services.common.store import Store
from services.common.store.asking import Among

TABLE = "facts_by_number"
DAY_MS = 86_400_000
SPAN = 1 << 48
"""`place` is the code of a kind times this, and when the row is from, ms."""
SLOTS = 256
"""A number has so many slots: one for all rows but days of calls, and those for days in turn."""
SLOT_DAYS = 16
"""Days of calls in a slot."""
AT_ONCE = 1_000_000
"""Rows, by seq, that are completed at once; so many of the last ones are looked at, at least: more
than are written in the half minute after which a system has them on disk."""

I64 = npt.NDArray[np.int64]
Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Kind:
    """How the rows of a table are kept.

    Attributes:
        code: which table they are of; the first integer of a row.
        time_ms: SQL for when a row is from.
        slot: SQL for which slot of the number it is in.
        columns: what is kept of it and how it comes back: a dtype, or "text": only a digest. The
            first says when the row is from.
    """

    code: int
    time_ms: str
    slot: str
    columns: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """All columns of the table that a row is made of."""
        return "number", "seq", *self.columns


COUNTS = (
    "calls_out", "answered_out", "distinct_callees", "ring_only_out", "short_calls_out",
    "talk_s", "calls_in", "callbacks_in", "night_calls_out", "max_calls_per_callee",
    "max_calls_per_minute", "max_callers_share_callee", "distinct_areas", "imei_count",
    "cell_count", "intl_ingress_calls", "auth_failed_calls", "after_refusal_calls",
)  # fmt: skip
"""Columns of table `behaviour` that count something, per number and day."""

MARK, EVENT, REGISTRATION, DAY = 1, 2, 3, 4
KINDS = {
    "marks": Kind(
        MARK,
        "occurred_ms",
        "0",
        {
            **dict.fromkeys(("occurred_ms", "call_ms"), "i8"),
            **dict.fromkeys(("mark_key", "source", "label", "reporter"), "u8"),
            **dict.fromkeys(("withdrawn", "origin"), "i8"),
        },
    ),
    "lifecycle": Kind(EVENT, "occurred_ms", "0", {"occurred_ms": "i8", "kind": "i8"}),
    "registry": Kind(
        REGISTRATION,
        "valid_from_ms",
        "0",
        dict.fromkeys(("valid_from_ms", "valid_until_ms", "outbound_allowed"), "i8"),
    ),
    "behaviour": Kind(
        DAY,
        f"toInt64(day) * {DAY_MS}",
        f"intDiv(day, {SLOT_DAYS}) % {SLOTS - 1} + 1",
        {"day": "i8", "carrier": "text", "sequential_ratio": "f8", **dict.fromkeys(COUNTS, "i8")},
    ),
}
"""By table. Rows about no number, of registered prefixes, are not kept here."""
_AHEAD = ("code", "number", "seq")
WIDTH = len(_AHEAD) + max(len(kind.columns) for kind in KINDS.values())
"""Integers of a row: _AHEAD, the columns of its kind, zeros."""
_AS_INTEGER = {
    "i8": "toInt64({0})",
    "u8": "toInt64({0})",
    "f8": "reinterpretAsInt64(reinterpretAsString({0}))",
    "text": "toInt64(cityHash64({0}))",
}


def append(store: Store, fence: Fence | None, table: str, columns: Columns) -> None:
    """Append rows of a table of KINDS, `names` of its kind among the columns.

    Raises:
        Unavailable: LEASE_LOST.
    """
    kind = KINDS[table]
    of_numbers = columns["number"] != 0
    rows = {name: columns[name][of_numbers] for name in kind.names}
    lease.insert(store, fence, TABLE, rows, values_of(kind))


def values_of(kind: Kind) -> dict[str, str]:
    """By column of TABLE, SQL for it over the columns of the table that a kind is of."""
    integers = [f"toInt64({kind.code})", "number", "toInt64(seq)"]
    integers += [_AS_INTEGER[how].format(name) for name, how in kind.columns.items()]
    return {
        "number": "number",
        "slot": f"bitOr(bitShiftLeft(number, {SLOTS.bit_length() - 1}), toInt64({kind.slot}))",
        "place": f"toInt64({kind.code * SPAN}) + greatest(toInt64(0), {kind.time_ms})",
        "seq": "seq",
        "row": f"arrayResize([{', '.join(integers)}], {WIDTH})",
    }


def complete(store: Store, fence: Fence | None, last_seq: int) -> None:
    """Append what is missing: rows beyond the last commit, and those that an earlier release wrote.

    Raises:
        Unavailable: LEASE_LOST.
    """
    found = store.query(
        f"SELECT intDiv(place, {SPAN}) AS code, max(seq) AS seq FROM {TABLE} GROUP BY code",
        exact=True,
    )
    written = {row["code"]: row["seq"] for row in found.to_pylist()}
    for table, kind in KINDS.items():
        newest = store.query(f"SELECT max(seq) AS seq FROM {table}", exact=True)
        end = int(newest["seq"][0].as_py() or 0)
        # They are written in the order of seq, some at a time, and not flushed: before the last
        # ones none is missing.
        first = max(min(written.get(kind.code, 0), last_seq) // AT_ONCE - 1, 0) * AT_ONCE
        low = kind.code * SPAN
        for start in range(first, end + 1, AT_ONCE):
            some = f"seq >= {start} AND seq < {start + AT_ONCE}"
            there = f"{some} AND place >= {low} AND place < {low + SPAN}"
            missing = store.query(
                f"""
                SELECT {", ".join(kind.names)} FROM {table}
                WHERE {some} AND seq NOT IN (SELECT seq FROM {TABLE} WHERE {there})
                """,
                exact=True,
            )
            append(store, fence, table, {name: missing[name].to_numpy() for name in kind.names})


def of_numbers(
    store: Store, numbers: I64, around: I64, as_of_ms: int, days: tuple[int, int]
) -> dict[str, Columns]:
    """Rows by a time, by table of KINDS: `number`, `seq` and the columns of its kind, in any order.

    Of rows of a table that replace each other all are there: see `newest`.

    Args:
        store: where they are.
        numbers: whose days of calls, (n,).
        around: whose marks, events and registrations, (m,), ascending; these numbers are among
            them.
        as_of_ms: epoch milliseconds.
        days: of calls, since 1970: the first, and the one after the last.
    """
    of_days = np.arange(days[0] // SLOT_DAYS, (days[1] - 1) // SLOT_DAYS + 1) % (SLOTS - 1) + 1
    of_calls = np.add.outer(numbers * SLOTS, of_days[: SLOTS - 1])  # then they come round
    slots = np.concatenate([around * SLOTS, of_calls.ravel()])
    asked = Among.of(slots)
    found = store.query(
        f"SELECT arrayJoin(row) AS value FROM {TABLE} PREWHERE slot IN {asked.sql}",
        asked.params,
        asked.tables,
    )
    rows = found["value"].to_numpy().reshape(-1, WIDTH)
    codes, times = rows[:, 0], rows[:, len(_AHEAD)]
    is_day = codes == DAY
    counts = times <= np.where(is_day, days[1] - 1, as_of_ms)
    counts &= ~is_day | (times >= days[0])
    # Numbers of two kinds with the same digits have the same slots.
    counts &= place(around, rows[:, 1])[1]
    rows = rows[counts]
    each = np.ascontiguousarray(rows[np.argsort(rows[:, 0], kind="stable")].T)
    kinds = [kind.code for kind in KINDS.values()]
    starts, ends = each[0].searchsorted(kinds), each[0].searchsorted(kinds, side="right")
    return {
        table: _columns(kind, each[:, start:end])
        for (table, kind), start, end in zip(KINDS.items(), starts, ends, strict=True)
    }


def newest(rows: Columns, *key: str) -> Columns:
    """Of the rows that have these columns in common the one with the greatest seq, in their order.

    Args:
        rows: `seq` and these, (n,) each.
        key: names of columns.
    """
    order = np.lexsort((rows["seq"], *(rows[name] for name in reversed(key))))
    is_last = np.zeros(len(order), dtype=bool)
    is_last[-1:] = True
    for name in key:
        ordered = rows[name][order]
        is_last[:-1] |= ordered[1:] != ordered[:-1]
    last = order[is_last]
    return {name: column[last] for name, column in rows.items()}


def _columns(kind: Kind, each: npt.NDArray[np.int64]) -> Columns:
    found: dict[str, npt.NDArray[Any]] = {"number": each[1], "seq": each[2]}
    for at, (name, how) in enumerate(kind.columns.items(), len(_AHEAD)):
        found[name] = each[at] if how == "i8" else each[at].view("u8" if how == "text" else how)
    return found

"""The SQL of disputes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa

from services.arbitration.disputes import steps
from services.arbitration.disputes.dispute import Dispute
from services.arbitration.disputes.events import Event
from services.arbitration.disputes.words import Kind
from services.common import lease
from services.common.lease import Fence
from services.common.store import Store
from services.common.store.asking import Among, newest

DAY_MS = 86_400_000
CHINA_MS = 8 * 3_600_000
FAR_MS = 1 << 53
"""Ranks from here on are disputes without a running clock."""

PAGE = 20_000
_EVENT = [field.name for field in fields(Event)]
_COLUMNS = ", ".join(_EVENT)
_TYPES = {"seq": pa.uint64(), "kind": pa.uint8(), "role": pa.uint8()}
_STRING_LISTS = pa.list_(pa.string())


def head(store: Store) -> tuple[int, str]:
    """seq and hash of the last event; (0, "") before the first."""
    found = store.query(
        "SELECT max(seq) AS last, argMax(hash, seq) AS head FROM dispute_events", exact=True
    )
    return int(found["last"][0].as_py() or 0), str(found["head"][0].as_py() or "")


def insert_events(store: Store, fence: Fence | None, events: Sequence[Event]) -> None:
    """Append events, all or none.

    Raises:
        Unavailable: LEASE_LOST.
    """
    columns = {
        name: pa.array([getattr(event, name) for event in events], _TYPES.get(name))
        for name in _EVENT
    }
    lease.insert(store, fence, "dispute_events", pa.table(columns))


def _events(table: pa.Table) -> list[Event]:
    return [Event(**row) for row in table.to_pylist()]


def events_of(
    store: Store, dispute_ids: Sequence[str], exact: bool = False
) -> dict[str, list[Event]]:
    """Events of disputes, oldest first, by dispute.

    Args:
        exact: for who writes more of them, see Store.query.
    """
    found: dict[str, list[Event]] = {name: [] for name in dispute_ids}
    if dispute_ids:
        table = store.query(
            f"SELECT {_COLUMNS} FROM dispute_events WHERE dispute_id IN %(ids)s ORDER BY seq",
            {"ids": tuple(dispute_ids)},
            exact=exact,
        )
        for event in _events(table):
            found[event.dispute_id].append(event)
    return found


def all_events(store: Store) -> Iterator[Event]:
    """Every event in the order of seq, repeats included."""
    last = int(store.query("SELECT max(seq) AS last FROM dispute_events")["last"][0].as_py() or 0)
    for start in range(0, last + 1, PAGE):
        yield from _events(
            store.query(
                f"""
                SELECT {_COLUMNS} FROM dispute_events
                WHERE seq > %(start)s AND seq <= %(end)s ORDER BY seq
                """,
                {"start": start, "end": start + PAGE},
            )
        )


def reads(store: Store, limit: int) -> list[Event]:
    """The newest recorded reads."""
    table = store.query(
        f"""
        SELECT {_COLUMNS} FROM dispute_events WHERE kind = %(kind)s
        ORDER BY seq DESC LIMIT %(limit)s
        """,
        {"kind": int(Kind.READ), "limit": limit},
    )
    return _events(table)


def insert_disputes(store: Store, disputes: Sequence[Dispute]) -> None:
    """Append where disputes are now."""
    rows = [_row(dispute) for dispute in disputes]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    columns["sources"] = pa.array(columns["sources"], _STRING_LISTS)
    store.insert("disputes", pa.table(columns))


def _row(dispute: Dispute) -> dict[str, object]:
    deadline = dispute.deadline_ms()
    view, next_due = dispute.view, steps.next_due(dispute)
    return {
        "dispute_id": dispute.dispute_id,
        "seq": dispute.seq,
        "number": dispute.number,
        "state": int(dispute.state),
        "is_open": int(dispute.is_open),
        "outcome": int(view.outcome) if view else 0,
        "ground": int(dispute.ground),
        "applicant_kind": int(dispute.applicant),
        "double_review": int(dispute.double_review),
        "contested": dispute.contested,
        "decided_category": dispute.decided_category,
        "reason": int(view.reason) if view else 0,
        "sources": list(dispute.sources),
        "filed_ms": dispute.filed_ms,
        "clock_ms": dispute.clock_ms,
        "decided_ms": dispute.decided_ms,
        "closed_ms": dispute.closed_ms,
        "deadline_ms": deadline,
        "due_ms": next_due[0] if next_due else 0,
        "rank_ms": deadline or FAR_MS * (1 if dispute.is_open else 2) - dispute.filed_ms,
        "contested_from_ms": dispute.contested_from_ms,
        "contested_until_ms": dispute.contested_until_ms,
        "round": dispute.round,
        "automatic": int(view is not None and dispute.round == 1 and not dispute.engaged),
    }


def insert_sources(store: Store, events: Sequence[Event]) -> None:
    """Append what events say of sources."""
    rows: list[tuple[object, ...]] = []
    for event in events:
        place = (event.dispute_id, event.seq, event.occurred_ms)
        if event.kind == Kind.SOURCES_ASKED:
            rows += [(*place, source, 1, 0, 0) for source in event.detail()["sources"]]
        elif event.kind == Kind.SOURCE_ANSWERED:
            rows.append((*place, event.actor, 2, 0, 0))
        elif event.kind == Kind.DECIDED:
            rows += [(*place, s, 3, right, wrong) for s, right, wrong in event.detail()["sources"]]
    if rows:
        names = (
            "dispute_id", "seq", "occurred_ms", "source", "what", "right_count", "wrong_count",
        )  # fmt: skip
        columns = [list(column) for column in zip(*rows, strict=True)]
        store.insert("dispute_sources", dict(zip(names, columns, strict=True)))


def open_of(store: Store, numbers: Sequence[int]) -> list[tuple[int, str]]:
    """(number, dispute_id) of the open disputes of numbers."""
    asked = Among.of(np.array(numbers, dtype=np.int64))
    rows = newest("disputes", "*", "dispute_id", f"number IN {asked.sql}")
    sql = f"SELECT number, dispute_id FROM ({rows}) WHERE is_open = 1"
    table = store.query(sql, asked.params, asked.tables, exact=True)
    return list(zip(table["number"].to_pylist(), table["dispute_id"].to_pylist(), strict=True))


def unprojected(store: Store) -> list[str]:
    """Disputes with events beyond what the lists know."""
    table = store.query(
        """
        SELECT DISTINCT dispute_id FROM dispute_events
        WHERE dispute_id != '' AND kind != %(read)s
            AND seq > (SELECT max(seq) FROM disputes)
        """,
        {"read": int(Kind.READ)},
        exact=True,
    )
    return [str(name) for name in table["dispute_id"].to_pylist()]


def listed_seq(store: Store) -> int:
    """Seq of the newest event that the lists know."""
    return int(store.query("SELECT max(seq) AS seq FROM disputes")["seq"][0].as_py() or 0)


def due(store: Store, now_ms: int, limit: int) -> list[str]:
    """Disputes that the passing of time has moved, the longest overdue first, at most `limit`."""
    table = store.query(
        """
        SELECT dispute_id FROM disputes FINAL WHERE due_ms > 0 AND due_ms <= %(now)s
        ORDER BY due_ms LIMIT %(limit)s
        """,
        {"now": now_ms, "limit": limit},
    )
    return [str(name) for name in table["dispute_id"].to_pylist()]


def clocks(store: Store, now_ms: int) -> dict[str, int]:
    """Open disputes, and of those the overdue and the ones whose clock stands."""
    found = store.query(
        """
        SELECT count() AS open, sum(deadline_ms > 0 AND deadline_ms < %(now)s) AS overdue,
            sum(deadline_ms = 0) AS paused
        FROM disputes FINAL WHERE is_open = 1
        """,
        {"now": now_ms},
    )
    return {name: int(found[name][0].as_py() or 0) for name in found.column_names}


def touched_since(store: Store, time_ms: int) -> list[int]:
    """Numbers whose label a dispute has changed the showing of since a time."""
    table = store.query(
        """
        SELECT DISTINCT number FROM disputes FINAL
        WHERE contested_from_ms >= %(time)s OR contested_until_ms >= %(time)s
        """,
        {"time": time_ms},
    )
    return [int(number) for number in table["number"].to_pylist()]


def page(
    store: Store, filters: Mapping[str, Any], after: tuple[int, str], limit: int
) -> tuple[list[str], list[int], int]:
    """Ids and ranks of a page, and how many match in all.

    Args:
        store: the store.
        filters: states, number, source, double_review, overdue_at, ground; absent: all.
        after: rank and id of the last row before the page.
        limit: rows.
    """
    conditions = {
        "states": "state IN %(states)s",
        "number": "number = %(number)s",
        "source": "has(sources, %(source)s)",
        "double_review": "double_review = 1",
        "overdue_at": "deadline_ms > 0 AND deadline_ms < %(overdue_at)s",
        "ground": "ground = %(ground)s",
    }
    where = " AND ".join([conditions[name] for name in filters] or ["1"])
    listed = "disputes FINAL"
    if "number" in filters:  # it never changes: only of these few the newest is sought
        listed = f"({newest('disputes', '*', 'dispute_id', 'number = %(number)s')})"
    total = store.query(f"SELECT count() AS total FROM {listed} WHERE {where}", filters)
    table = store.query(
        f"""
        SELECT dispute_id, rank_ms FROM {listed}
        WHERE {where} AND (rank_ms > %(rank)s OR (rank_ms = %(rank)s AND dispute_id > %(last)s))
        ORDER BY rank_ms, dispute_id LIMIT %(limit)s
        """,
        {**filters, "rank": after[0], "last": after[1], "limit": limit},
    )
    return (
        table["dispute_id"].to_pylist(),
        table["rank_ms"].to_pylist(),
        int(total["total"][0].as_py()),
    )


def precedents(
    store: Store, number: int, contested: int, ground: int, limit: int
) -> list[dict[str, Any]]:
    """Decided disputes of the number, then of the same category and ground, newest first."""
    # Number, contested category and ground never change: only of these few the newest is sought.
    table = store.query(
        """
        SELECT dispute_id, number, contested, ground, outcome, decided_category, decided_ms
        FROM (
            SELECT dispute_id, number, contested, ground, outcome, decided_category, decided_ms,
                is_open
            FROM disputes
            WHERE number = %(number)s OR (contested = %(contested)s AND contested > 0
                AND (ground = %(ground)s OR %(ground)s = 0))
            ORDER BY seq DESC LIMIT 1 BY dispute_id
        )
        WHERE decided_ms > 0 AND outcome > 0 AND is_open = 0
        ORDER BY number = %(number)s DESC, decided_ms DESC LIMIT %(limit)s
        """,
        {"number": number, "contested": contested, "ground": ground, "limit": limit},
    )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def source_outcomes(store: Store, source: str) -> list[dict[str, Any]]:
    """How disputes over each source's marks ended, by name."""
    table = store.query(
        """
        SELECT source, sum(what = 1) AS asked, sum(what = 2) AS answered,
            sum(what = 3 AND right_count + wrong_count > 0) AS decided,
            sum(what = 3 AND wrong_count > 0) AS overturned
        FROM dispute_sources FINAL WHERE source = %(source)s OR %(source)s = ''
        GROUP BY source ORDER BY source
        """,
        {"source": source},
    )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def mark_days(store: Store, number: int, since_ms: int) -> list[dict[str, Any]]:
    """Marks of a number by day in China, label and source, oldest first."""
    table = store.query(
        """
        SELECT intDiv(occurred_ms + %(china)s, %(day)s) AS day, label, count() AS marks,
            max(occurred_ms) AS last_ms
        FROM marks
        WHERE number = %(number)s AND withdrawn = 0 AND occurred_ms >= %(since)s
            AND mark_key NOT IN (
                SELECT toUInt64(mark_key - 1) FROM marks
                WHERE number = %(number)s AND withdrawn = 1
            )
        GROUP BY day, label ORDER BY day, label
        """,
        {"number": number, "since": since_ms, "china": CHINA_MS, "day": DAY_MS},
    )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def holders(store: Store, numbers: Sequence[int], now_ms: int) -> dict[int, str]:
    """Registered holders by number."""
    table = store.query(
        """
        SELECT number, argMax(holder, valid_from_ms) AS name FROM registry
        WHERE number IN (SELECT number FROM {asked}) AND holder != ''
            AND valid_from_ms <= %(now)s AND (valid_until_ms > %(now)s OR valid_until_ms = 0)
        GROUP BY number
        """,
        {"now": now_ms},
        {"asked": {"number": list(numbers)}},
    )
    return dict(zip(table["number"].to_pylist(), table["name"].to_pylist(), strict=True))


def insert_content(store: Store, dispute_id: str, at: int, content: str, now_ms: int) -> None:
    """Keep a paper's content, base64."""
    store.insert(
        "evidence_files",
        {
            "dispute_id": [dispute_id],
            "evidence_id": [at],
            "content": [content],
            "added_ms": [now_ms],
        },
    )


def content(store: Store, dispute_id: str, at: int) -> str | None:
    """A paper's content, base64, or None."""
    table = store.query(
        "SELECT content FROM evidence_files WHERE dispute_id = %(id)s AND evidence_id = %(at)s",
        {"id": dispute_id, "at": at},
    )
    return str(table["content"][0].as_py()) if table.num_rows else None


def write_message(store: Store, number: int, text: str, now_ms: int) -> None:
    """Put a message into the outbox."""
    store.insert("outbox", {"number": [number], "text": [text], "written_ms": [now_ms]})


def messages(store: Store, since_ms: int, limit: int) -> list[dict[str, Any]]:
    """Messages since a time, newest first."""
    table = store.query(
        """
        SELECT number, text, written_ms FROM outbox WHERE written_ms >= %(since)s
        ORDER BY written_ms DESC LIMIT %(limit)s
        """,
        {"since": since_ms, "limit": limit},
    )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows

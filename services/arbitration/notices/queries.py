"""The SQL of notices."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa

from services.arbitration.disputes.events import Event
from services.arbitration.notices.notice import Attempt, Notice, Party, State, Target
from services.common.store import Store

_EVENT = ", ".join(field.name for field in fields(Event))
_TARGET = "target_id, party, name, number, url, created_by, created_ms"
_SHOWN = ("category", "level", "state", "probability", "epoch")
_TRIED = """
    SELECT notice_id, max(at) AS attempt, argMax(tried, at) AS tries, argMax(how, at) AS state,
        argMax(http, at) AS status, argMax(why, at) AS cause, max(time) AS attempted_ms,
        argMax(due, at) AS due_ms
    FROM (
        SELECT notice_id, attempt AS at, tries AS tried, state AS how, status AS http,
            cause AS why, attempted_ms AS time, due_ms AS due
        FROM notice_attempts %s
    ) GROUP BY notice_id
"""
_NOTICE = "notice_id, target_id, kind, body, place, created_ms"
_COLUMNS = f"{_NOTICE}, attempt, tries, state, status, cause, attempted_ms, due_ms"
_OUTBOX = f"""
    SELECT {_COLUMNS} FROM (SELECT {_NOTICE} FROM notices FINAL)
    ANY LEFT JOIN ({_TRIED % ""}) USING notice_id
"""
OPEN = f"state NOT IN ({int(State.DELIVERED)}, {int(State.DEAD)})"


def insert_target(store: Store, target: Target, removed: bool, changed_ms: int) -> None:
    """Append where a target is now."""
    store.insert(
        "notice_targets",
        {
            "target_id": [target.target_id],
            "party": np.array([target.party], np.uint8),
            "name": [target.name],
            "number": np.array([target.number], np.int64),
            "url": [target.url],
            "created_by": [target.created_by],
            "created_ms": np.array([target.created_ms], np.int64),
            "removed": np.array([removed], np.uint8),
            "changed_ms": np.array([changed_ms], np.int64),
        },
    )


def targets(store: Store) -> list[Target]:
    """Every target there is, the oldest first."""
    table = store.query(
        f"""
        SELECT {_TARGET} FROM notice_targets FINAL WHERE removed = 0
        ORDER BY created_ms, target_id
        """
    )
    return [Target(**{**row, "party": Party(row["party"])}) for row in table.to_pylist()]


def place(store: Store, log: str) -> int | None:
    """How far a log was turned into notices; None where it never was."""
    table = store.query(
        "SELECT count() AS rows, max(place) AS place FROM notice_cursors WHERE log = %(log)s",
        {"log": log},
    )
    return int(table["place"][0].as_py()) if table["rows"][0].as_py() else None


def move(store: Store, log: str, to: int, now_ms: int) -> None:
    """A log is turned into notices up to here."""
    store.insert(
        "notice_cursors",
        {
            "log": [log],
            "place": np.array([to], np.uint64),
            "moved_ms": np.array([now_ms], np.int64),
        },
    )


def events_after(store: Store, seq: int, limit: int) -> list[Event]:
    """Events of disputes beyond a seq, ascending."""
    table = store.query(
        f"""
        SELECT {_EVENT} FROM dispute_events WHERE seq > %(seq)s ORDER BY seq LIMIT %(limit)s
        """,
        {"seq": seq, "limit": limit},
    )
    return [Event(**row) for row in table.to_pylist()]


def last_version(store: Store) -> int:
    """The newest published version, 0 before the first."""
    table = store.query("SELECT max(version) AS last FROM versions WHERE lineage = 0")
    return int(table["last"][0].as_py() or 0)


def published_between(
    store: Store, numbers: Sequence[int], after: int, until: int
) -> list[dict[str, Any]]:
    """What was published of numbers in versions (after, until], ascending by version."""
    table = store.query(
        f"""
        SELECT number, version, update_ms, {", ".join(_SHOWN)} FROM published
        WHERE lineage = 0 AND version > %(after)s AND version <= %(until)s
            AND version IN (SELECT version FROM versions)
            AND number IN (SELECT number FROM {{asked}})
        ORDER BY version, number
        """,
        {"after": after, "until": until},
        {"asked": {"number": np.array(numbers, np.int64)}},
    )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def published_at(
    store: Store, numbers: Sequence[int], version: int
) -> dict[int, tuple[int, int, int]]:
    """category, level and state of numbers at a version, by number."""
    table = store.query(
        """
        SELECT number, argMax(category, version) AS what, argMax(level, version) AS grade,
            argMax(state, version) AS how
        FROM published
        WHERE lineage = 0 AND version <= %(version)s AND version IN (SELECT version FROM versions)
            AND number IN (SELECT number FROM {asked})
        GROUP BY number
        """,
        {"version": version},
        {"asked": {"number": np.array(numbers, np.int64)}},
    )
    return {r["number"]: (r["what"], r["grade"], r["how"]) for r in table.to_pylist()}


def registered_numbers(store: Store, holders: Sequence[str], now_ms: int) -> dict[int, str]:
    """Holder of every number that is registered to one of the holders now."""
    table = store.query(
        """
        SELECT number, argMax(holder, valid_from_ms) AS name FROM registry FINAL
        WHERE number != 0 AND holder IN (SELECT holder FROM {asked})
            AND valid_from_ms <= %(now)s AND (valid_until_ms > %(now)s OR valid_until_ms = 0)
        GROUP BY number
        """,
        {"now": now_ms},
        {"asked": {"holder": list(holders)}},
    )
    return {row["number"]: row["name"] for row in table.to_pylist()}


def changed_hands(store: Store, numbers: Sequence[int]) -> dict[int, int]:
    """When each number was last assigned or released, by number; those that never were are not
    in it."""
    table = store.query(
        """
        SELECT number, max(occurred_ms) AS last_ms FROM lifecycle
        WHERE kind IN (1, 2) AND number IN (SELECT number FROM {asked}) GROUP BY number
        """,
        tables={"asked": {"number": np.array(numbers, np.int64)}},
    )
    return {row["number"]: row["last_ms"] for row in table.to_pylist()}


def insert_notices(store: Store, notices: Sequence[Notice]) -> None:
    """Put notices into the outbox."""
    if notices:
        store.insert(
            "notices",
            pa.table(
                {
                    field.name: [getattr(found, field.name) for found in notices]
                    for field in fields(Notice)
                }
            ),
        )


def due(store: Store, now_ms: int, each: int, limit: int) -> list[tuple[Notice, int, int]]:
    """Notices to try now, with attempts and tries so far; at most `each` of one target."""
    table = store.query(
        f"""
        SELECT * FROM ({_OUTBOX}) WHERE {OPEN} AND due_ms <= %(now)s
        ORDER BY due_ms, created_ms, place, notice_id LIMIT {int(each)} BY target_id LIMIT %(limit)s
        """,
        {"now": now_ms, "limit": limit},
    )
    return [
        (
            Notice(*(row[field.name] for field in fields(Notice))),
            row["attempt"],
            row["tries"],
        )
        for row in table.to_pylist()
    ]


def next_due(store: Store) -> int | None:
    """When the next notice is to be tried; None where none waits."""
    table = store.query(f"SELECT count() AS n, min(due_ms) AS due FROM ({_OUTBOX}) WHERE {OPEN}")
    return int(table["due"][0].as_py()) if table["n"][0].as_py() else None


def insert_attempts(store: Store, attempts: Sequence[Attempt]) -> None:
    """Append what tries have brought."""
    types = {"attempt": np.uint32, "tries": np.uint32, "state": np.uint8, "status": np.uint16}
    store.insert(
        "notice_attempts",
        {
            field.name: np.array([getattr(a, field.name) for a in attempts], types[field.name])
            if field.name in types
            else [getattr(a, field.name) for a in attempts]
            for field in fields(Attempt)
        },
    )


def counts(store: Store) -> dict[str, dict[int, int]]:
    """Notices by target and state (0 and 1 waiting)."""
    made = store.query(
        """
        SELECT target_id, uniqExact(notice_id) AS notices FROM notices
        GROUP BY target_id ORDER BY target_id
        """
    )
    tried = store.query(
        """
        SELECT target_id, state, count() AS notices FROM (
            SELECT notice_id, any(owner) AS target_id, argMax(how, attempt) AS state
            FROM (
                SELECT notice_id, target_id AS owner, state AS how, attempt FROM notice_attempts
            ) GROUP BY notice_id
        ) GROUP BY target_id, state ORDER BY target_id, state
        """
    )
    found: dict[str, dict[int, int]] = {}
    for row in tried.to_pylist():
        found.setdefault(row["target_id"], {})[row["state"]] = row["notices"]
    for row in made.to_pylist():
        states = found.setdefault(row["target_id"], {})
        if untried := row["notices"] - sum(states.values()):
            states[0] = untried
    return found


def backlog(store: Store) -> tuple[int, int, int]:
    """Notices that wait, when the oldest of them was made (0 without), and dead ones."""
    table = store.query(
        f"""
        SELECT state, count() AS notices, min(created_ms) AS oldest_ms FROM ({_OUTBOX})
        WHERE state != {int(State.DELIVERED)} GROUP BY state ORDER BY state
        """
    )
    rows = table.to_pylist()
    waiting = [row for row in rows if row["state"] != State.DEAD]
    return (
        sum(row["notices"] for row in waiting),
        min((row["oldest_ms"] for row in waiting), default=0),
        sum(row["notices"] for row in rows if row["state"] == State.DEAD),
    )


def newest(store: Store, target_id: str, state: int, limit: int) -> list[dict[str, Any]]:
    """Notices of a target in a state (0 any), the newest first."""
    order = "ORDER BY created_ms DESC, place DESC, notice_id LIMIT %(limit)s"
    # Without a state the attempts of those shown are enough, and they are few.
    first = order if state == 0 else ""
    table = store.query(
        f"""
        SELECT {_COLUMNS} FROM (
            SELECT {_NOTICE} FROM notices FINAL WHERE target_id = %(target)s {first}
        ) ANY LEFT JOIN ({_TRIED % "WHERE target_id = %(target)s"}) USING notice_id
        WHERE state = %(state)s OR %(state)s = 0 {order}
        """,
        {"target": target_id, "state": state, "limit": limit},
    )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows

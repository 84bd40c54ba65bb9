"""The SQL of referrals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from services.arbitration.referrals.referral import (
    ENTERPRISE_IDENTITIES,
    OFFENDING_LEVEL,
    OPEN,
    SETTLED_STATES,
)
from services.common.store import Store

_LABELS = (
    "category", "probability", "level", "state", "effective_sources", "mark_count",
    "first_mark_ms", "last_mark_ms", "epoch",
)  # fmt: skip
_PUBLISHED = f"""
    SELECT number, max(version) AS last_version,
        {", ".join(f"argMax({name}, version) AS {name}_now" for name in _LABELS)}
    FROM published WHERE lineage = 0 AND version IN (SELECT version FROM versions)
    GROUP BY number
"""
_ROW = (
    "referral_id, request_id, number, epoch, category, authority, level, adjudicated, probability,"
    " effective_sources, mark_count, first_mark_ms, last_mark_ms, version, drawn_ms"
)
_ANSWERED = """
    SELECT referral_id, argMax(answer, recorded) AS disposition,
        argMax(disposed, recorded) AS disposed_ms, argMax(words, recorded) AS text,
        argMax(recorder, recorded) AS recorded_by, max(recorded) AS recorded_ms
    FROM (
        SELECT referral_id, disposition AS answer, disposed_ms AS disposed, text AS words,
            recorded_by AS recorder, recorded_ms AS recorded
        FROM referral_feedback
    ) GROUP BY referral_id
"""
_CLOSED = """
    SELECT referral_id FROM (
        SELECT referral_id, argMax(disposition, recorded_ms) AS last FROM referral_feedback
        GROUP BY referral_id
    ) WHERE last NOT IN %(open)s
"""


def candidates(store: Store, categories: Sequence[int], limit: int) -> pa.Table:
    """Settled labels of the categories that were not referred for their epoch, gravest first."""
    return store.query(
        f"""
        SELECT number, last_version, {", ".join(f"{name}_now" for name in _LABELS)}
        FROM ({_PUBLISHED}) ANY LEFT JOIN (
            SELECT number, epoch AS epoch_now, category AS category_now, 1 AS is_referred
            FROM referrals
        ) USING (number, epoch_now, category_now)
        WHERE category_now IN %(categories)s AND state_now IN %(states)s AND is_referred = 0
        ORDER BY level_now DESC, state_now DESC, probability_now DESC, number LIMIT %(limit)s
        """,
        {"categories": tuple(categories), "states": SETTLED_STATES, "limit": limit},
    )


def insert_referrals(store: Store, columns: Mapping[str, Any]) -> None:
    """Append referrals, one block."""
    store.insert("referrals", dict(columns))


def insert_draw(store: Store, request_id: str, drawn_by: str, drawn_ms: int) -> None:
    """Finish a draw."""
    store.insert(
        "referral_draws",
        {"request_id": [request_id], "drawn_by": [drawn_by], "drawn_ms": [drawn_ms]},
    )


def draw(store: Store, request_id: str) -> tuple[str, int] | None:
    """Who finished a draw, and when; None where nobody did."""
    found = store.query(
        "SELECT drawn_by, drawn_ms FROM referral_draws WHERE request_id = %(id)s LIMIT 1",
        {"id": request_id},
    )
    if not found.num_rows:
        return None
    return str(found["drawn_by"][0].as_py()), int(found["drawn_ms"][0].as_py())


def drawn_counts(store: Store, request_id: str) -> list[tuple[str, int]]:
    """Referrals of a draw by authority, the most first."""
    found = store.query(
        """
        SELECT authority, count() AS referrals FROM referrals FINAL
        WHERE request_id = %(id)s GROUP BY authority ORDER BY referrals DESC, authority
        """,
        {"id": request_id},
    )
    return list(zip(found["authority"].to_pylist(), found["referrals"].to_pylist(), strict=True))


def disposition_counts(store: Store, authority: str = "") -> list[dict[str, Any]]:
    """authority, disposition (0 none) and how many referrals, of one authority or of all."""
    found = store.query(
        """
        SELECT authority, disposition, count() AS referrals
        FROM (
            SELECT referral_id, authority FROM referrals FINAL
            WHERE authority = %(authority)s OR %(authority)s = ''
        ) ANY LEFT JOIN (
            SELECT referral_id, argMax(answer, recorded_ms) AS disposition
            FROM (SELECT referral_id, disposition AS answer, recorded_ms FROM referral_feedback)
            GROUP BY referral_id
        ) USING referral_id
        GROUP BY authority, disposition ORDER BY authority, disposition
        """,
        {"authority": authority},
    )
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def page(
    store: Store, filters: Mapping[str, Any], after: tuple[int, int, str] | None, limit: int
) -> tuple[list[dict[str, Any]], int]:
    """A page of referrals with what holds of their feedback, and how many match in all.

    Args:
        store: the store.
        filters: authority, number, request_id, referral_id, open (True); absent: all.
        after: drawn_ms, level and referral_id of the last row before the page.
        limit: rows.
    """
    conditions = {
        "authority": "authority = %(authority)s",
        "number": "number = %(number)s",
        "request_id": "request_id = %(request_id)s",
        "referral_id": "referral_id = %(referral_id)s",
        "open": f"referral_id NOT IN ({_CLOSED})",
    }
    values = {**filters, "open": OPEN}
    where = " AND ".join([conditions[name] for name in filters] or ["1"])
    total = store.query(f"SELECT count() AS total FROM referrals FINAL WHERE {where}", values)
    if after is not None:
        where += """ AND (drawn_ms < %(drawn)s OR (drawn_ms = %(drawn)s AND (level < %(level)s
            OR (level = %(level)s AND referral_id > %(last)s))))"""
        values |= {"drawn": after[0], "level": after[1], "last": after[2]}
    order = "ORDER BY drawn_ms DESC, level DESC, referral_id"
    found = store.query(
        f"""
        SELECT {_ROW}, disposition, disposed_ms, text, recorded_by, recorded_ms
        FROM (SELECT {_ROW} FROM referrals FINAL WHERE {where} {order} LIMIT %(limit)s)
        ANY LEFT JOIN ({_ANSWERED}) USING referral_id {order}
        """,
        {**values, "limit": limit},
    )
    return found.to_pylist(), int(total["total"][0].as_py())


def referred(store: Store, referral_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Number and authority of referrals, by id."""
    found = store.query(
        """
        SELECT referral_id, number, authority FROM referrals FINAL
        WHERE referral_id IN (SELECT referral_id FROM {asked})
        """,
        tables={"asked": {"referral_id": list(referral_ids)}},
    )
    return {r["referral_id"]: (r["number"], r["authority"]) for r in found.to_pylist()}


def feedback_of(store: Store, referral_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Every answer to referrals, the oldest first, by referral."""
    found = store.query(
        """
        SELECT referral_id, disposition, disposed_ms, text, recorded_by, recorded_ms
        FROM referral_feedback WHERE referral_id IN (SELECT referral_id FROM {asked})
        ORDER BY recorded_ms
        """,
        tables={"asked": {"referral_id": list(referral_ids)}},
    )
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in referral_ids}
    for row in found.to_pylist():
        rows[row["referral_id"]].append(row)
    return rows


def insert_feedback(store: Store, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append answers."""
    store.insert(
        "referral_feedback",
        {
            "referral_id": [row["referral_id"] for row in rows],
            "number": np.array([row["number"] for row in rows], dtype=np.int64),
            "disposition": np.array([row["disposition"] for row in rows], dtype=np.uint8),
            "disposed_ms": np.array([row["disposed_ms"] for row in rows], dtype=np.int64),
            "text": [row["text"] for row in rows],
            "recorded_by": [row["recorded_by"] for row in rows],
            "recorded_ms": np.array([row["recorded_ms"] for row in rows], dtype=np.int64),
        },
    )


def enterprise_registrations(store: Store, now_ms: int) -> pa.Table:
    """number, prefix and holder of the registrations of enterprises in force."""
    return store.query(
        """
        SELECT number, prefix, holder FROM registry FINAL
        WHERE identity IN %(identities)s AND holder != ''
            AND valid_from_ms <= %(now)s AND (valid_until_ms > %(now)s OR valid_until_ms = 0)
        """,
        {"identities": ENTERPRISE_IDENTITIES, "now": now_ms},
    )


def offending(
    store: Store, categories: Sequence[int], until_ms: int, among: Sequence[int] | None = None
) -> pa.Table:
    """number, category and is_referred of settled labels that offend, as last published before.

    Args:
        store: the store.
        categories: that offend.
        until_ms: exclusive.
        among: only these numbers; None: all.
    """
    only, tables = _among(among)
    return store.query(
        f"""
        SELECT number, category_now AS category, is_referred FROM (
            SELECT number, argMax(category, version) AS category_now,
                argMax(state, version) AS state_now, argMax(level, version) AS level_now
            FROM published
            WHERE lineage = 0 AND update_ms < %(until)s
                AND version IN (SELECT version FROM versions) {only}
            GROUP BY number
        ) ANY LEFT JOIN (SELECT DISTINCT number, 1 AS is_referred FROM referrals) USING number
        WHERE category_now IN %(categories)s AND state_now IN %(states)s AND level_now >= %(level)s
        ORDER BY number
        """,
        {
            "categories": tuple(categories),
            "states": SETTLED_STATES,
            "level": OFFENDING_LEVEL,
            "until": until_ms,
        },
        tables,
    )


def _among(numbers: Sequence[int] | None) -> tuple[str, dict[str, Any]]:
    """A condition for these numbers alone, and its external table; None: all."""
    if numbers is None:
        return "", {}
    table = {"number": np.array(numbers, dtype=np.int64)}
    return "AND number IN (SELECT number FROM {among})", {"among": table}


def signalled(
    store: Store, codes: Sequence[str], until_ms: int, among: Sequence[int] | None = None
) -> list[int]:
    """Numbers that carriers' signals of the codes name, by the newest run before a time; only
    those `among`, if given."""
    only, tables = _among(among)
    found = store.query(
        f"""
        SELECT DISTINCT number FROM signals
        WHERE victim = 0 AND code IN %(codes)s AND run IN (
            SELECT argMax(run, as_of_ms) AS newest FROM feature_runs WHERE as_of_ms < %(until)s
        ) {only} ORDER BY number
        """,
        {"codes": tuple(codes), "until": until_ms},
        tables,
    )
    return [int(number) for number in found["number"].to_pylist()]


def counts_between(store: Store, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
    """As disposition_counts, of referrals drawn in [start_ms, end_ms), by what was told by then."""
    found = store.query(
        """
        SELECT authority, disposition, count() AS referrals
        FROM (
            SELECT referral_id, authority FROM referrals FINAL
            WHERE drawn_ms >= %(start)s AND drawn_ms < %(end)s
        ) ANY LEFT JOIN (
            SELECT referral_id, argMax(answer, recorded_ms) AS disposition
            FROM (SELECT referral_id, disposition AS answer, recorded_ms FROM referral_feedback)
            WHERE recorded_ms < %(end)s GROUP BY referral_id
        ) USING referral_id
        GROUP BY authority, disposition ORDER BY authority, disposition
        """,
        {"start": start_ms, "end": end_ms},
    )
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows

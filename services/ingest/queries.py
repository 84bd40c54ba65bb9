"""The SQL of the ingest service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.common import facts, lease
from services.common.lease import Fence
from services.common.numbering.keys import format_keys
from services.common.numbering.prefixes import national
from services.common.store import Store
from services.common.taxonomy import confirmed

Columns = Mapping[str, npt.NDArray[Any]]

MAX_TRACED = 16
"""Traced submissions that are told of one page of changes."""

FACT_TABLES = ("marks", "behaviour", "lifecycle", "registry", "refusals")

_NAME_COLUMNS = {
    "sources": ("source", "name", "first_seen_ms"),
    "labels": ("label", "source", "text", "first_seen_ms"),
}


def known_marks(store: Store, columns: Columns) -> npt.NDArray[np.bool_]:
    """Whether each mark is in the store already, bool (n,)."""
    found = store.query(
        """
        SELECT mark_key, mark_check FROM mark_ids
        WHERE mark_key IN (SELECT mark_key FROM {asked})
        """,
        tables={"asked": {"mark_key": columns["mark_key"]}},
        exact=True,
    )
    if found.num_rows == 0:
        return np.zeros(len(columns["mark_key"]), dtype=bool)
    pairs = _pairs(found["mark_key"].to_numpy(), found["mark_check"].to_numpy())
    return np.isin(_pairs(columns["mark_key"], columns["mark_check"]), pairs)


def _pairs(key: npt.NDArray[Any], check: npt.NDArray[Any]) -> npt.NDArray[np.complex128]:
    # One comparable value of both: isin has no two-column form, and a void view does not sort.
    both = np.empty(len(key), dtype=[("key", "u8"), ("check", "u8")])
    both["key"], both["check"] = key, check
    return both


def insert_facts(
    store: Store, fence: Fence | None, table: str, columns: Columns, received_ms: int
) -> None:
    """Append rows to a fact table and to those by number; for marks also their ids.

    Raises:
        Unavailable: LEASE_LOST.
    """
    rows = dict(columns)
    if table == "marks":
        rows["received_ms"] = np.full(len(columns["number"]), received_ms, dtype=np.int64)
    lease.insert(store, fence, table, rows)
    if table in facts.KINDS:
        facts.append(store, fence, table, columns)
    if table == "marks":
        ids = {name: columns[name] for name in ("mark_key", "mark_check")}
        lease.insert(store, fence, "mark_ids", ids)


def insert_changes(
    store: Store,
    fence: Fence | None,
    first_seq: int,
    numbers: npt.NDArray[Any],
    committed_ms: int,
    traces: Sequence[str] = (),
) -> None:
    """Append the commit record of a block whose rows have ascending seq from first_seq.

    Args:
        traces: of each row, the span of its commit or ""; none where nothing is traced.

    Raises:
        Unavailable: LEASE_LOST.
    """
    count = len(numbers)
    columns: dict[str, Any] = {
        "seq": np.arange(first_seq, first_seq + count, dtype=np.uint64),
        "number": numbers.astype(np.int64),
        "committed_ms": np.full(count, committed_ms, dtype=np.int64),
    }
    if traces:
        columns["trace"] = list(traces)
    lease.insert(store, fence, "changes", columns)


def insert_names(
    store: Store, table: str, rows: Sequence[tuple[object, ...]], first_seen_ms: int
) -> None:
    """Append rows to `sources` or `labels`; the time comes last."""
    columns: dict[str, Any] = {}
    values = zip(*[(*row, first_seen_ms) for row in rows], strict=True)
    for name, column in zip(_NAME_COLUMNS[table], values, strict=True):
        is_key = name in ("source", "label")
        columns[name] = np.array(column, dtype=np.uint64) if is_key else list(column)
    store.insert(table, columns)


def repair(store: Store, fence: Fence | None, now_ms: int) -> int:
    """Complete what a crash left without its commit record. Returns the next seq.

    Facts are written before their record, so facts beyond the last record are whole rows that
    were never acknowledged: they are kept, and get what is by number, their ids and record.

    Raises:
        Unavailable: LEASE_LOST.
    """
    last = _last_seq(store, "changes")
    facts.complete(store, fence, last)
    for table in FACT_TABLES:
        columns = "seq, number, mark_key, mark_check" if table == "marks" else "seq, number"
        torn = store.query(
            f"SELECT {columns} FROM {table} WHERE seq > %(last)s ORDER BY seq",
            {"last": last},
            exact=True,
        )
        if torn.num_rows == 0:
            continue
        if table == "marks":
            asked = {name: torn[name].to_numpy() for name in ("mark_key", "mark_check")}
            new = ~known_marks(store, asked)
            ids = {name: column[new] for name, column in asked.items()}
            lease.insert(store, fence, "mark_ids", ids)
        lease.insert(
            store,
            fence,
            "changes",
            {
                "seq": torn["seq"].to_numpy(),
                "number": torn["number"].to_numpy(),
                "committed_ms": np.full(torn.num_rows, now_ms, dtype=np.int64),
            },
        )
    return _last_seq(store, "changes") + 1


def _last_seq(store: Store, table: str) -> int:
    found = store.query(f"SELECT max(seq) AS seq FROM {table}", exact=True)
    return int(found["seq"][0].as_py() or 0)


@dataclass(frozen=True)
class Changes:
    """Some commit records.

    Attributes:
        numbers: distinct, ascending.
        last_seq: the last one read.
        oldest_ms: the oldest commit time; None without records.
        traced: (traceparent, commit time) of submissions that are traced, at most MAX_TRACED.
    """

    numbers: npt.NDArray[np.int64]
    last_seq: int
    oldest_ms: int | None
    traced: Sequence[tuple[str, int]] = ()


def changes_after(store: Store, seq: int, limit: int) -> Changes:
    """Read up to `limit` commit records after seq."""
    found = store.query(
        """
        SELECT seq, number, committed_ms, trace FROM changes
        WHERE seq > %(seq)s AND seq <= %(end)s ORDER BY seq LIMIT %(limit)s
        """,
        {"seq": seq, "end": seq + 100 * limit, "limit": limit},
    )
    if found.num_rows == 0:
        return Changes(np.zeros(0, dtype=np.int64), seq, None)
    numbers = np.unique(found["number"].to_numpy())
    traced: dict[str, int] = {}
    for at in np.flatnonzero(pc.not_equal(found["trace"], "").to_numpy()).tolist():
        if len(traced) == MAX_TRACED:
            break
        traced.setdefault(found["trace"][at].as_py(), found["committed_ms"][at].as_py())
    return Changes(
        numbers[numbers != 0],  # 0: a prefix was registered, and its numbers were touched
        int(found["seq"][-1].as_py()),
        int(found["committed_ms"].to_numpy().min()),
        tuple(traced.items()),
    )


def marks_of(store: Store, keys: npt.NDArray[np.uint64]) -> list[dict[str, Any]]:
    """Marks by key: what they say, whether withdrawn, and whether their reporter has marked again.

    Rows have number, mark_key, mark_check, occurred_ms, received_ms, text, withdrawn, superseded.
    """
    found = store.query(
        """
        SELECT number, source, reporter, mark_key, mark_check, occurred_ms, received_ms, text
        FROM (SELECT number, source, label, reporter, mark_key, mark_check, occurred_ms,
                  received_ms FROM marks
              WHERE mark_key IN (SELECT mark_key FROM {asked}) AND withdrawn = 0)
        ANY LEFT JOIN (SELECT DISTINCT label, text FROM labels) USING label
        """,
        tables={"asked": {"mark_key": keys}},
    ).to_pylist()
    if not found:
        return []
    around = store.query(
        """
        SELECT number, source, reporter, mark_key, occurred_ms, withdrawn FROM marks
        WHERE number IN (SELECT number FROM {asked})
        """,
        tables={"asked": {"number": sorted({row["number"] for row in found})}},
    ).to_pylist()
    taken_back = {row["mark_key"] - 1 for row in around if row["withdrawn"]}
    newest: dict[tuple[int, int, int], int] = {}
    for row in around:
        if row["reporter"] and not row["withdrawn"] and row["mark_key"] not in taken_back:
            person = (row["number"], row["source"], row["reporter"])
            newest[person] = max(newest.get(person, 0), row["occurred_ms"])
    for row in found:
        person = (row["number"], row["source"], row["reporter"])
        row["withdrawn"] = row["mark_key"] in taken_back
        row["superseded"] = row["occurred_ms"] < newest.get(person, 0)
    return list(found)


def epoch_starts(store: Store, numbers: Sequence[int], now_ms: int) -> dict[int, int]:
    """When each number's present tenure began; numbers without a known one are left out."""
    if not numbers:
        return {}
    found = store.query(
        """
        SELECT number, max(occurred_ms) AS start_ms FROM lifecycle
        WHERE kind IN (1, 2) AND occurred_ms <= %(now)s
            AND number IN (SELECT number FROM {asked})
        GROUP BY number
        """,
        {"now": now_ms},
        {"asked": {"number": list(numbers)}},
    )
    return dict(zip(found["number"].to_pylist(), found["start_ms"].to_pylist(), strict=True))


def published(store: Store, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """What consumers see of numbers: number, category, state, version, update."""
    if not numbers:
        return []
    found = store.query(
        """
        SELECT number, argMax(category, version) AS category_now,
            argMax(state, version) AS state_now, max(version) AS version_now,
            argMax(update_ms, version) AS update_now
        FROM published WHERE lineage = 0 AND number IN (SELECT number FROM {asked})
        GROUP BY number
        """,
        tables={"asked": {"number": list(numbers)}},
    )
    return [
        {name.removesuffix("_now"): value for name, value in row.items()}
        for row in found.to_pylist()
    ]


def labels(store: Store) -> pa.Table:
    """label, text, first_seen_ms and the source's name of every label, ascending by label."""
    return store.query(
        """
        SELECT label, text, first_seen_ms, name
        FROM (SELECT label, source, text, min(first_seen_ms) AS first_seen_ms FROM labels
              GROUP BY label, source, text)
        ANY LEFT JOIN (SELECT DISTINCT source, name FROM sources) USING source
        ORDER BY label
        """
    )


def label_counts(store: Store, keys: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Marks and numbers of each of those labels."""
    found = store.query(
        """
        SELECT label, count() AS marks, uniqExact(number) AS numbers FROM marks
        WHERE withdrawn = 0 AND label IN (SELECT label FROM {asked}) GROUP BY label
        """,
        tables={"asked": {"label": np.array(keys, dtype=np.uint64)}},
    )
    rows = found.to_pylist()
    return {row["label"]: (row["marks"], row["numbers"]) for row in rows}


def numbers_with_labels(store: Store, keys: Sequence[int]) -> npt.NDArray[np.int64]:
    """Numbers that have a mark with one of those labels, ascending."""
    if not keys:
        return np.zeros(0, dtype=np.int64)
    found = store.query(
        """
        SELECT DISTINCT number FROM marks WHERE label IN (SELECT label FROM {asked})
        ORDER BY number
        """,
        tables={"asked": {"label": np.array(keys, dtype=np.uint64)}},
    )
    return found["number"].to_numpy().astype(np.int64)


def insert_mapping(store: Store, row: Mapping[str, Any]) -> None:
    """Append what a reviewer confirmed, a row of `confirmed.COLUMNS`."""
    store.insert("mappings", {name: [row[name]] for name in confirmed.COLUMNS})


def mappings(store: Store) -> pa.Table:
    """What reviewers confirmed, in order of time."""
    return store.query(
        f"SELECT {', '.join(confirmed.COLUMNS)} FROM mappings ORDER BY confirmed_ms, label"
    )


def ports(store: Store, numbers: npt.NDArray[np.int64], now_ms: int) -> pa.Table:
    """number, carrier and at_ms of each number's last port since its last assignment."""
    return store.query(
        """
        SELECT number, argMax(carrier, occurred_ms) AS carrier, argMax(kind, occurred_ms) AS last,
            max(occurred_ms) AS at_ms
        FROM (SELECT number, occurred_ms, kind, carrier FROM lifecycle
              WHERE occurred_ms <= %(now)s AND number IN (SELECT number FROM {asked}))
        GROUP BY number HAVING last = 3
        """,
        {"now": now_ms},
        {"asked": {"number": numbers}},
    )


def suspected(store: Store, numbers: Sequence[int]) -> set[int]:
    """Keys of the marks on those numbers that the newest arbitration run put in quarantine."""
    if not numbers:
        return set()
    found = store.query(
        """
        SELECT mark_key FROM suspicions
        WHERE number IN (SELECT number FROM {asked}) AND run IN (
            SELECT run FROM arbitration_runs ORDER BY as_of_ms DESC, run DESC LIMIT 1
        )
        """,
        tables={"asked": {"number": list(numbers)}},
    )
    return set(found["mark_key"].to_pylist())


def numbers_under(store: Store, prefixes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Known numbers whose national digits begin with one of the prefixes, ascending."""
    if not prefixes:
        return np.zeros(0, dtype=np.int64)
    found = store.query(
        """
        SELECT DISTINCT number FROM marks
        UNION ALL SELECT DISTINCT number FROM behaviour
        """
    )
    numbers = np.unique(found["number"].to_numpy().astype(np.int64))
    wanted = tuple(prefixes)
    fits = (national(str(wire)).startswith(wanted) for wire in format_keys(numbers))
    return numbers[np.fromiter(fits, bool, len(numbers))]

"""The SQL of the reputation service."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common import lease
from services.common.lease import Fence
from services.common.store import Store
from services.common.store.asking import Among, newest
from services.reputation.published.packing import NAMES, TOP, Columns

I64 = npt.NDArray[np.int64]
MAX_KEY = (1 << 63) - 1
FENCED_ROWS = 500_000
"""Rows written behind a fence at once: the server holds them in memory."""


def run_times(store: Store, run: int) -> tuple[int, str, str] | None:
    """as_of_ms, change cursor and model version of a scored run; None if not finished."""
    found = store.query(
        "SELECT as_of_ms, change_cursor FROM feature_runs WHERE run = %(run)s", {"run": run}
    )
    scored = store.query("SELECT model_version FROM score_runs WHERE run = %(run)s", {"run": run})
    if found.num_rows == 0 or scored.num_rows == 0:
        return None
    return (
        int(found["as_of_ms"][0].as_py()),
        str(found["change_cursor"][0].as_py()),
        str(scored["model_version"][0].as_py()),
    )


def scores(store: Store, run: int) -> pa.Table:
    """number, risk and reasons of a run, ascending by number."""
    return store.query(
        "SELECT number, risk, reasons FROM scores WHERE run = %(run)s ORDER BY number",
        {"run": run},
    )


def signals(store: Store, run: int) -> pa.Table:
    """number, code and victim of the signals of a run, ascending by number."""
    return store.query(
        "SELECT number, code, victim FROM signals WHERE run = %(run)s ORDER BY number, code",
        {"run": run},
    )


def posteriors(store: Store, run: int) -> pa.Table:
    """Posteriors of a run, ascending by number."""
    return store.query(
        """
        SELECT number, categories, probabilities, effective_sources, reporter_count, mark_count,
            former_mark_count, epoch, first_mark_ms, last_mark_ms, decided_category
        FROM posteriors WHERE run = %(run)s ORDER BY number
        """,
        {"run": run},
    )


_CONTESTED = """
    contested_from_ms > 0 AND contested_from_ms <= %(as_of)s
    AND (contested_until_ms = 0 OR contested_until_ms > %(as_of)s)
"""


def disputed(store: Store, as_of_ms: int, numbers: I64 | None = None) -> I64:
    """Those numbers (None: all) that a proven holder contests at the time."""
    if numbers is None:
        found = store.query(
            f"SELECT DISTINCT number FROM disputes FINAL WHERE {_CONTESTED}", {"as_of": as_of_ms}
        )
    else:
        asked = Among.of(numbers)
        rows = newest("disputes", "*", "dispute_id", f"number IN {asked.sql}")
        sql = f"SELECT DISTINCT number FROM ({rows}) WHERE {_CONTESTED}"
        found = store.query(sql, {"as_of": as_of_ms, **asked.params}, asked.tables)
    return found["number"].to_numpy().astype(np.int64)


def matrix(column: pa.ChunkedArray, dtype: type) -> npt.NDArray[Any]:
    """A list column as (n, TOP), padded with 0."""
    array = column.combine_chunks()
    result: npt.NDArray[Any] = np.zeros((len(array), TOP), dtype=dtype)
    if len(array):
        lengths = array.value_lengths().to_numpy(zero_copy_only=False)
        row = np.repeat(np.arange(len(array)), lengths)
        start = np.repeat(np.cumsum(lengths) - lengths, lengths)
        result[row, np.arange(len(row)) - start] = array.flatten().to_numpy(zero_copy_only=False)
    return result


def insert_version(
    store: Store,
    fence: Fence | None,
    lineage: int,
    version: int,
    as_of_ms: int,
    publish_ms: int,
    number_count: int,
    change_cursor: str,
    run: int,
    rows: Columns,
) -> None:
    """Append a version: its rows, then the record that publishes them.

    Raises:
        Unavailable: LEASE_LOST, and the version was not published.
    """
    count = len(rows["number"])
    if fence is None:
        store.insert("published", _listed(lineage, rows))
    else:
        for start in range(0, count, FENCED_ROWS):
            part = {name: rows[name][start : start + FENCED_ROWS] for name in NAMES}
            fence.insert(store, "published", *_flat(lineage, part))
    lease.insert(
        store,
        fence,
        "versions",
        {
            "lineage": [lineage],
            "version": [version],
            "as_of_ms": [as_of_ms],
            "publish_ms": [publish_ms],
            "number_count": [number_count],
            "changed_count": [count],
            "change_cursor": [change_cursor],
            "run": [run],
        },
    )


def _listed(lineage: int, rows: Columns) -> pa.Table:
    """Rows of a version with their lists as lists."""
    count = len(rows["number"])
    offsets = pa.array(np.arange(0, (count + 1) * TOP, TOP, dtype=np.int32))
    columns: dict[str, Any] = {"lineage": np.full(count, lineage, dtype=np.uint64)}
    for name in NAMES:
        column = rows[name]
        if column.ndim == 2:
            columns[name] = pa.ListArray.from_arrays(offsets, pa.array(column.ravel()))
        elif column.dtype == object:
            columns[name] = pa.array(column.tolist(), pa.string())
        else:
            columns[name] = column
    return pa.table(columns)


def _flat(lineage: int, rows: Columns) -> tuple[pa.Table, dict[str, str]]:
    """Rows of a version with a column for each place of a list, and SQL for what they are of."""
    columns: dict[str, Any] = {"lineage": np.full(len(rows["number"]), lineage, dtype=np.uint64)}
    values = {name: name for name in ("lineage", *NAMES)}
    for name in NAMES:
        column = rows[name]
        if column.ndim == 2:
            places = [f"{name}_{at}" for at in range(column.shape[1])]
            columns |= {place: column[:, at] for at, place in enumerate(places)}
            values[name] = f"[{', '.join(places)}]"
        elif column.dtype == object:
            columns[name] = pa.array(column.tolist(), pa.string())
        else:
            columns[name] = column
    return pa.table(columns), values


def newest_live(store: Store) -> dict[str, Any] | None:
    """The newest version that consumers see; None before the first."""
    found = store.query(
        """
        SELECT version, as_of_ms, publish_ms, change_cursor FROM versions
        WHERE lineage = 0 ORDER BY version DESC LIMIT 1
        """,
        exact=True,
    ).to_pylist()
    return found[0] if found else None


def first_beyond(store: Store, change_cursor: str) -> int:
    """The first version that consumers see and that goes beyond a cursor; 0 without one."""
    found = store.query(
        """
        SELECT min(version) AS version FROM versions
        WHERE lineage = 0 AND toUInt64OrZero(change_cursor) > %(seq)s
        """,
        {"seq": int(change_cursor or 0)},
        exact=True,
    )
    return int(found["version"][0].as_py() or 0)


def last_pass_ms(store: Store) -> int:
    """For which time the last full pass that consumers see was scored; 0 before the first."""
    found = store.query(
        """
        SELECT max(as_of_ms) AS as_of_ms FROM feature_runs
        WHERE run IN (SELECT run FROM versions WHERE lineage = 0 AND run > 0)
        """
    )
    return int(found["as_of_ms"][0].as_py() or 0)


def versions(store: Store) -> pa.Table:
    """Every version, ascending."""
    return store.query(
        """
        SELECT lineage, version, as_of_ms, publish_ms, number_count, change_cursor, run
        FROM versions ORDER BY version
        """,
        exact=True,
    )


def newest_version(store: Store) -> int:
    """The newest version that rows were written for, recorded or not; 0 without any."""
    found = store.query("SELECT max(version) AS newest FROM published", exact=True)
    return int(found["newest"][0].as_py())


def published_at(store: Store, lineage: int, time_ms: int) -> tuple[int, int] | None:
    """The newest version published at a time or before, and when; None before the first."""
    found = store.query(
        """
        SELECT version, publish_ms FROM versions
        WHERE lineage = %(lineage)s AND publish_ms <= %(time)s ORDER BY version DESC LIMIT 1
        """,
        {"lineage": lineage, "time": time_ms},
    )
    if found.num_rows == 0:
        return None
    return int(found["version"][0].as_py()), int(found["publish_ms"][0].as_py())


def number_ranges(store: Store, lineage: int, rows: int) -> list[tuple[int, int]]:
    """Ranges of keys, each [start, end), that cover a lineage with about so many rows each."""
    blocks = store.query(
        """
        SELECT bitShiftRight(number, 20) AS block, count() AS n FROM published
        WHERE lineage = %(lineage)s GROUP BY block ORDER BY block
        """,
        {"lineage": lineage},
    )
    found, start, held = [], 0, 0
    for block, count in zip(blocks["block"].to_pylist(), blocks["n"].to_pylist(), strict=True):
        if held and held + count > rows:
            found.append((start, block << 20))
            start, held = block << 20, 0
        held += count
    return [*found, (start, MAX_KEY)] if held else found


def state_at(
    store: Store, lineage: int, version: int, start: int = 0, end: int = MAX_KEY
) -> Columns:
    """Rows of a lineage at a version, ascending by number; only keys in [start, end)."""
    picked = ", ".join(f"argMax({name}, version) AS last_{name}" for name in NAMES[2:])
    table = store.query(
        f"""
        SELECT number, max(version) AS last_version, {picked} FROM published
        WHERE lineage = %(lineage)s AND version <= %(version)s
            AND number >= %(start)s AND number < %(end)s
            AND version IN (SELECT version FROM versions)
        GROUP BY number ORDER BY number
        """,
        {"lineage": lineage, "version": version, "start": start, "end": end},
    )
    return _columns(table)


def rows_since(store: Store, lineage: int, version: int, until: int) -> Columns:
    """The newest row of each number that changed in versions (version, until], ascending."""
    picked = ", ".join(f"argMax({name}, version) AS last_{name}" for name in NAMES[2:])
    table = store.query(
        f"""
        SELECT number, max(version) AS last_version, {picked} FROM published
        WHERE lineage = %(lineage)s AND version > %(version)s AND version <= %(until)s
            AND version IN (SELECT version FROM versions WHERE version > %(version)s)
        GROUP BY number ORDER BY number
        """,
        {"lineage": lineage, "version": version, "until": until},
        exact=True,
    )
    return _columns(table)


def _columns(table: pa.Table) -> Columns:
    rows: Columns = {"number": table["number"].to_numpy()}
    for name in NAMES[1:]:
        column = table[f"last_{name}"]
        if pa.types.is_list(column.type):
            rows[name] = matrix(column, np.uint16 if name == "categories" else np.float32)
        elif pa.types.is_string(column.type):
            coded = column.combine_chunks().dictionary_encode()  # so that equal texts are one
            texts = coded.dictionary.to_numpy(zero_copy_only=False)
            rows[name] = texts[coded.indices.to_numpy()]
        else:
            rows[name] = column.to_numpy()
    return rows


def insert_receipt(
    store: Store, consumer: str, version: int, filter_text: str, received_ms: int
) -> None:
    """Append a receipt."""
    store.insert(
        "receipts",
        {
            "consumer": [consumer],
            "version": [version],
            "filter": [filter_text],
            "received_ms": [received_ms],
        },
    )


def consumers(store: Store) -> pa.Table:
    """consumer, newest applied version, kept filter, last_ms of each consumer's receipts."""
    return store.query(
        """
        SELECT consumer, max(version) AS applied, argMax(filter, version) AS kept,
            max(received_ms) AS last_ms
        FROM receipts GROUP BY consumer ORDER BY consumer
        """
    )


def changes_beyond(store: Store, seq: int) -> tuple[int, int]:
    """Commit records after seq: how many, and the oldest commit time (0 without)."""
    found = store.query(
        """
        SELECT count() AS waiting, min(committed_ms) AS oldest_ms FROM changes
        WHERE seq > %(seq)s
        """,
        {"seq": seq},
    )
    return int(found["waiting"][0].as_py()), int(found["oldest_ms"][0].as_py() or 0)


def last_run_ms(store: Store) -> int:
    """When a full pass was last published to consumers, 0 never."""
    found = store.query(
        "SELECT max(publish_ms) AS last_ms FROM versions WHERE lineage = 0 AND run > 0"
    )
    return int(found["last_ms"][0].as_py() or 0)


def change_after(store: Store, number: int, since_ms: int) -> tuple[int, int]:
    """(version, publish_ms) of a number's first change at or after a time; (0, 0) without one."""
    found = store.query(
        """
        SELECT version, publish_ms FROM versions
        WHERE version IN (
            SELECT min(version) FROM published
            WHERE lineage = 0 AND number = %(number)s AND update_ms >= %(since)s
                AND version IN (SELECT version FROM versions)
        )
        """,
        {"number": number, "since": since_ms},
    )
    if not found.num_rows:
        return 0, 0
    return int(found["version"][0].as_py()), int(found["publish_ms"][0].as_py())


def arrivals(store: Store, version: int) -> pa.Table:
    """consumer, kept filter and first_ms, the first receipt for that version or later, 0 none."""
    return store.query(
        """
        SELECT consumer, argMax(filter, received_ms) AS kept,
            minIf(received_ms, version >= %(version)s) AS first_ms,
            countIf(version >= %(version)s) AS receipts
        FROM receipts GROUP BY consumer ORDER BY consumer
        """,
        {"version": version},
    )

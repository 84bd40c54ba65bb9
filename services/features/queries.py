"""The SQL of the features service: aggregation runs in the store."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common.runs import kept_runs
from services.common.store import Store
from services.features.alike import References
from services.features.blocks import BLOCK_SUMS, CONTRIBUTIONS
from services.features.columns import Aggregates
from services.features.number_rows import BEHAVIOUR, BEHAVIOUR_DAYS, china_day
from services.features.signals.rules import Signals

DAY_MS = 86_400_000
RUN_TABLES = (
    "features", "block_sums", "neighbourhoods", "day_volumes", "signals", "alike_references",
)  # fmt: skip
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


def day_volumes(store: Store, as_of_ms: int) -> pa.Table:
    """day (days since 1970, UTC) and marks of each day by then, ascending."""
    return store.query(
        f"""
        SELECT intDiv(occurred_ms, {DAY_MS}) AS day, count() AS marks FROM marks
        WHERE occurred_ms <= %(as_of)s AND withdrawn = 0 GROUP BY day ORDER BY day
        """,
        {"as_of": as_of_ms},
    )


def insert_day_volumes(store: Store, run: int, days: pa.Table) -> None:
    """Append day and marks of each day as of a run."""
    if days.num_rows:
        runs = pa.array(np.full(days.num_rows, run, dtype=np.uint64))
        store.insert("day_volumes", days.append_column("run", runs))


def stored_day_volumes(store: Store, run: int) -> pa.Table:
    """day and marks of a run, ascending."""
    return store.query(
        "SELECT day, marks FROM day_volumes WHERE run = %(run)s ORDER BY day", {"run": run}
    )


_LAST_DAYS = f"day >= %(end)s - {BEHAVIOUR_DAYS} AND day < %(end)s"


def behaviour_sums(store: Store, as_of_ms: int) -> pa.Table:
    """number_rows.BEHAVIOUR of the last 30 whole days in China (UTC+8), by number, ascending."""
    sums = ", ".join(f"{how}({column}) AS {name}" for name, (how, column) in BEHAVIOUR.items())
    sql = f"""
        SELECT number, {sums} FROM behaviour FINAL
        WHERE {_LAST_DAYS} GROUP BY number ORDER BY number
    """
    return store.query(sql, {"end": china_day(as_of_ms)})


def rule_days(store: Store, as_of_ms: int, signals: Signals) -> pa.Table:
    """By number: for each rule the days of the window on which it fired and the last of them, and
    for all the days with calls and those whose calls were authenticated.

    `firing.rule_days_of` says the same of days that were read.
    """
    end = china_day(as_of_ms)
    fired = ", ".join(
        f"countIf({rule.sql}) AS days_{rule.code}, maxIf(day, {rule.sql}) AS last_{rule.code}"
        for rule in signals.rules
    )
    failed = signals.victim.failed_ratio
    return store.query(
        f"""
        SELECT number, {fired}, countIf(calls_out > 0) AS active_days,
            countIf(calls_out > 0 AND auth_failed_calls <= {failed} * calls_out) AS own_days
        FROM behaviour FINAL
        WHERE day >= %(end)s - {signals.window_days} AND day < %(end)s
        GROUP BY number ORDER BY number
        """,
        {"end": end},
    )


def insert_signals(store: Store, run: int, table: pa.Table) -> None:
    """Append the signals of a run."""
    runs = pa.array(np.full(table.num_rows, run, dtype=np.uint64))
    store.insert("signals", table.append_column("run", runs))


def insert_rows(store: Store, run: int, numbers: I64, rows: npt.NDArray[np.float32]) -> None:
    """Append feature rows, float32 (n, features), to a run."""
    width = rows.shape[1]
    offsets = np.arange(0, (len(numbers) + 1) * width, width, dtype=np.int32)
    values = pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.ravel()))
    store.insert(
        "features",
        pa.table(
            {
                "run": np.full(len(numbers), run, dtype=np.uint64),
                "number": numbers,
                "row": values,
            }
        ),
    )


def finish_run(
    store: Store,
    run: int,
    as_of_ms: int,
    change_cursor: str,
    names: Sequence[str],
    number_count: int,
    finished_ms: int,
) -> None:
    """Record that a run is whole, and drop the rows of those no longer kept."""
    store.insert(
        "feature_runs",
        {
            "run": [run],
            "as_of_ms": [as_of_ms],
            "change_cursor": [change_cursor],
            "names": [",".join(names)],
            "number_count": [number_count],
            "finished_ms": [finished_ms],
        },
    )
    kept = kept_runs(store, "feature_runs")
    for table in RUN_TABLES:
        for old in store.query(f"SELECT DISTINCT run FROM {table}")["run"].to_pylist():
            if old not in kept:
                store.execute(f"ALTER TABLE {table} DROP PARTITION {int(old)}")


def next_run(store: Store, now_ms: int) -> int:
    """A run id above all before: the time, or one more than the newest run."""
    newest = store.query("SELECT max(run) AS run FROM feature_runs")["run"][0].as_py() or 0
    return max(now_ms, int(newest) + 1)


def decided_numbers(store: Store, as_of_ms: int) -> I64:
    """Numbers with a decision or a registration of their own by then."""
    found = store.query(
        """
        SELECT number FROM decisions WHERE decided_ms <= %(as_of)s
        UNION ALL SELECT number FROM registry WHERE number != 0 AND valid_from_ms <= %(as_of)s
        """,
        {"as_of": as_of_ms},
    )
    return found["number"].to_numpy().astype(np.int64)


def insert_neighbourhoods(store: Store, run: int, blocks: Mapping[str, npt.NDArray[Any]]) -> None:
    """Append the neighbourhoods of a run: size, block and CONTRIBUTIONS of each."""
    count = len(blocks["block"])
    store.insert("neighbourhoods", {"run": np.full(count, run, dtype=np.uint64), **blocks})


def insert_block_sums(store: Store, run: int, sums: Aggregates) -> None:
    """Append what blocks sum to, as of a run: `key` and BLOCK_SUMS."""
    table = {"run": np.full(len(sums["key"]), run, dtype=np.uint64), "key": sums["key"]}
    table |= {name: sums[name].astype(np.uint64) for name in BLOCK_SUMS}
    store.insert("block_sums", table)


def block_sums(store: Store, run: int) -> pa.Table:
    """key and BLOCK_SUMS of a run, ascending."""
    sums = ", ".join(f"toUInt32({name}) AS {name}" for name in BLOCK_SUMS)
    sql = f"SELECT key, {sums} FROM block_sums WHERE run = %(run)s ORDER BY key"
    return store.query(sql, {"run": run})


def insert_references(store: Store, run: int, references: References) -> None:
    """Append the sample of a run that others are compared with."""
    count, width = references.traits.shape
    if not count:
        return
    offsets = pa.array(np.arange(0, (count + 1) * width, width, dtype=np.int32))
    store.insert(
        "alike_references",
        pa.table(
            {
                "run": np.full(count, run, dtype=np.uint64),
                "number": references.numbers,
                "traits": pa.ListArray.from_arrays(offsets, pa.array(references.traits.ravel())),
            }
        ),
    )


def references(store: Store, run: int) -> References:
    """The sample of a run; nobody where it has none."""
    found = store.query(
        "SELECT number, traits FROM alike_references WHERE run = %(run)s ORDER BY number",
        {"run": run},
    )
    if not found.num_rows:
        return References.nobody()
    flat = found["traits"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return References(
        found["number"].to_numpy().astype(np.int64),
        flat.astype(np.float32).reshape(found.num_rows, -1),
    )


def wide_run(store: Store, as_of_ms: int) -> tuple[int, int]:
    """The newest run made as of that time or before whose wide sums are kept, and that time.

    Zeros: there is none.
    """
    found = store.query(
        """
        SELECT run, as_of_ms FROM feature_runs
        WHERE as_of_ms <= %(as_of)s AND run IN (SELECT DISTINCT run FROM day_volumes)
        ORDER BY as_of_ms DESC, run DESC LIMIT 1
        """,
        {"as_of": as_of_ms},
    )
    if not found.num_rows:
        return 0, 0
    return int(found["run"][0].as_py()), int(found["as_of_ms"][0].as_py())


def neighbourhoods(store: Store, run: int) -> pa.Table:
    """size, block and CONTRIBUTIONS of a run, by size and block."""
    return store.query(
        f"""
        SELECT size, block, {", ".join(CONTRIBUTIONS)} FROM neighbourhoods
        WHERE run = %(run)s ORDER BY size, block
        """,
        {"run": run},
    )


def registrations(store: Store, as_of_ms: int) -> pa.Table:
    """number, from_ms and outbound of numbers with a registration in force, by number."""
    return store.query(
        """
        SELECT number, max(valid_from_ms) AS from_ms,
            argMax(outbound_allowed, valid_from_ms) AS outbound
        FROM registry FINAL
        WHERE number != 0 AND valid_from_ms <= %(as_of)s AND valid_until_ms > %(as_of)s
        GROUP BY number ORDER BY number
        """,
        {"as_of": as_of_ms},
    )

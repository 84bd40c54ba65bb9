"""The SQL of the features service: aggregation runs in the store."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common.runs import kept_runs
from services.common.store import Store
from services.features.definitions import DECAY_DAYS, MARK_WINDOWS_DAYS, NTH_MARKS
from services.features.signals.rules import Signals

DAY_MS = 86_400_000
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

NEAR = ("numbers", "marks", "repeated", "life_days", "old", "returned", "active")
"""Sums over the marked numbers of a block; see `domain.neighbourhoods`."""

_EPOCHS = """
    SELECT number, max(occurred_ms) AS start_ms, sum(kind = 1) AS epoch
    FROM (SELECT DISTINCT number, occurred_ms, kind FROM lifecycle
          WHERE occurred_ms <= %(as_of)s AND kind IN (1, 2){only})
    GROUP BY number
"""

_WITHDRAWN = """
    SELECT toUInt64(mark_key - 1) FROM marks WHERE withdrawn = 1 AND occurred_ms <= %(as_of)s
"""


def _only(numbers: I64 | None, column: str = "number") -> str:
    return "" if numbers is None else f" AND {column} IN (SELECT number FROM {{asked}})"


def _asked(
    numbers: I64 | None, excluded: U64 | None = None
) -> dict[str, dict[str, npt.NDArray[Any]]]:
    tables: dict[str, dict[str, npt.NDArray[Any]]] = {}
    if numbers is not None:
        tables["asked"] = {"number": numbers}
    if excluded is not None:
        tables["excluded"] = {"mark_key": excluded}
    return tables


def _counting(numbers: I64 | None, excluded: U64 | None) -> str:
    """FROM … WHERE of the marks that count: by then, in the present epoch, not taken out."""
    out = "" if excluded is None else " AND mark_key NOT IN (SELECT mark_key FROM {excluded})"
    return f"""
        marks ANY LEFT JOIN ({_EPOCHS.replace("{only}", _only(numbers))}) USING number
        WHERE occurred_ms <= %(as_of)s AND occurred_ms >= start_ms AND withdrawn = 0
            AND mark_key NOT IN ({_WITHDRAWN}){_only(numbers)}{out}
    """


def epochs(store: Store, as_of_ms: int, numbers: I64 | None) -> pa.Table:
    """number, start_ms, epoch of every number with an assignment or release by then."""
    sql = _EPOCHS.replace("{only}", _only(numbers)) + " ORDER BY number"
    return store.query(sql, {"as_of": as_of_ms}, _asked(numbers))


def mark_dynamics(
    store: Store, as_of_ms: int, numbers: I64 | None, excluded: U64 | None = None
) -> pa.Table:
    """Aggregates of the marks that count, by number; those of the `excluded` keys do not.

    `later` counts the marks from half a day to 30.5 days after the first one.
    """
    windows = ", ".join(
        f"countIf(occurred_ms > %(as_of)s - {days * DAY_MS}) AS marks_{days}d"
        for days in MARK_WINDOWS_DAYS
    )
    decays = ", ".join(
        f"sum(exp2((occurred_ms - %(as_of)s) / {days * DAY_MS})) AS decayed_{days}d"
        for days in DECAY_DAYS
    )
    nth = ", ".join(f"arrayElement(times, {n}) AS nth_{n}_ms" for n in NTH_MARKS)
    kept = ", ".join(
        (
            *("number", "marks", "days_30d", "days", "origins_30d", "origins", "origin_known"),
            *("reporters", "sources", "labels", "first_ms", "last_ms", "call_proof", "weekend"),
            *("same_area", *(f"marks_{days}d" for days in MARK_WINDOWS_DAYS)),
            *(f"decayed_{days}d" for days in DECAY_DAYS),
        )
    )
    recent = f"occurred_ms > %(as_of)s - {30 * DAY_MS}"
    sql = f"""
        SELECT {kept}, {nth}, arrayElement(arrayReverseSort(origin_counts.2), 1) AS origin_top,
            arrayElement(arrayReverseSort(day_counts.2), 1) AS top_day,
            arrayElement(day_counts.2, -1) AS last_day,
            arrayCount(x -> x > first_ms + {DAY_MS // 2} AND x <= first_ms + {61 * DAY_MS // 2},
                times) AS later
        FROM (
        SELECT number, count() AS marks, {windows}, {decays},
            uniqExactIf(intDiv(occurred_ms, {DAY_MS}), {recent}) AS days_30d,
            uniqExact(intDiv(occurred_ms, {DAY_MS})) AS days,
            uniqExactIf(origin, {recent} AND origin != 0) AS origins_30d,
            uniqExactIf(origin, origin != 0) AS origins,
            avg(origin != 0) AS origin_known,
            uniqExactIf(reporter, reporter != 0) AS reporters,
            uniqExact(source) AS sources, uniqExact(label) AS labels,
            min(occurred_ms) AS first_ms, max(occurred_ms) AS last_ms,
            avg(call_ms > 0) AS call_proof,
            avg((intDiv(occurred_ms, {DAY_MS}) + 4) % 7 IN (0, 6)) AS weekend,
            avg(origin = intDiv(number % 10000000000, 10000000)) AS same_area,
            arrayReverseSort(groupArray(occurred_ms)) AS times,
            sumMap([origin], [toUInt64(1)]) AS origin_counts,
            sumMap([intDiv(occurred_ms, {DAY_MS})], [toUInt64(1)]) AS day_counts
        FROM {_counting(numbers, excluded)} GROUP BY number) ORDER BY number
    """
    return store.query(sql, {"as_of": as_of_ms}, _asked(numbers, excluded))


def block_marks(store: Store, as_of_ms: int, size: int, blocks: I64 | None) -> pa.Table:
    """Marks by block of `size` neighbouring numbers: block, marks_7d, marks_30d, older, numbers."""
    only, tables = "", {}
    if blocks is not None:
        only = " AND intDiv(number, %(size)s) IN (SELECT block FROM {blocks})"
        tables = {"blocks": {"block": blocks}}
    sql = f"""
        SELECT intDiv(number, %(size)s) AS block,
            countIf(occurred_ms > %(as_of)s - {7 * DAY_MS}) AS marks_7d,
            countIf(occurred_ms > %(as_of)s - {30 * DAY_MS}) AS marks_30d,
            countIf(occurred_ms <= %(as_of)s - {30 * DAY_MS}) AS older,
            uniqExactIf(number, occurred_ms > %(as_of)s - {30 * DAY_MS}) AS numbers_30d
        FROM marks
        WHERE occurred_ms <= %(as_of)s AND withdrawn = 0{only}
        GROUP BY block ORDER BY block
    """
    return store.query(sql, {"as_of": as_of_ms, "size": size}, tables)


def same_origins(
    store: Store, as_of_ms: int, numbers: I64 | None, excluded: U64 | None = None
) -> pa.Table:
    """number and same_origin: further marks of the block from the origin of each of its marks."""
    blocks, tables = "", _asked(numbers, excluded)
    if numbers is not None:
        blocks = " AND intDiv(number, 10000) IN (SELECT block FROM {blocks})"
        tables["blocks"] = {"block": np.unique(numbers // 10_000)}
    sql = f"""
        SELECT number, avg(origin_marks - 1) AS same_origin
        FROM (SELECT number, intDiv(number, 10000) AS block, origin
              FROM {_counting(numbers, excluded)})
        ANY LEFT JOIN (
            SELECT intDiv(number, 10000) AS block, origin, count() AS origin_marks FROM marks
            WHERE occurred_ms <= %(as_of)s AND withdrawn = 0{blocks} GROUP BY block, origin
        ) USING (block, origin)
        GROUP BY number ORDER BY number
    """
    return store.query(sql, {"as_of": as_of_ms}, tables)


def day_volumes(store: Store, as_of_ms: int) -> pa.Table:
    """day (days since 1970, UTC) and marks of each day by then, ascending."""
    return store.query(
        f"""
        SELECT intDiv(occurred_ms, {DAY_MS}) AS day, count() AS marks FROM marks
        WHERE occurred_ms <= %(as_of)s AND withdrawn = 0 GROUP BY day ORDER BY day
        """,
        {"as_of": as_of_ms},
    )


def insert_day_volumes(store: Store, run: int, days: I64, marks: I64) -> None:
    """Append the marks of each day as of a run."""
    if len(days):
        runs = np.full(len(days), run, dtype=np.uint64)
        store.insert("day_volumes", {"run": runs, "day": days, "marks": marks})


def stored_day_volumes(store: Store, as_of_ms: int) -> pa.Table:
    """day and marks of the newest run made as of that time or before, ascending."""
    return store.query(
        f"SELECT day, marks FROM day_volumes WHERE run IN ({_RUN_OF_BLOCKS}) ORDER BY day",
        {"as_of": as_of_ms},
    )


def day_weighted(
    store: Store,
    as_of_ms: int,
    numbers: I64 | None,
    days: I64,
    weights: npt.NDArray[np.float64],
    excluded: U64 | None = None,
) -> pa.Table:
    """number and day_weighted: the sum of its marks' weights; a day not among `days` weighs 1."""
    tables = _asked(numbers, excluded)
    # Shifted by one: 0 is what a join gives for a day that is not there.
    tables["days"] = {"day": days, "excess": weights - 1}
    sql = f"""
        SELECT number, sum(1 + excess) AS day_weighted
        FROM (SELECT number, intDiv(occurred_ms, {DAY_MS}) AS day
              FROM {_counting(numbers, excluded)})
        ANY LEFT JOIN (SELECT day, excess FROM {{days}}) USING day
        GROUP BY number ORDER BY number
    """
    return store.query(sql, {"as_of": as_of_ms}, tables)


def behaviour_sums(store: Store, as_of_ms: int, numbers: I64 | None) -> pa.Table:
    """Sums and maxima of the last 30 whole days in China (UTC+8), by number."""
    end = (as_of_ms + 8 * 3_600_000) // DAY_MS
    sums: Sequence[str] = (
        "calls_out", "answered_out", "distinct_callees", "ring_only_out", "short_calls_out",
        "talk_s", "calls_in", "callbacks_in", "night_calls_out", "distinct_areas", "cell_count",
        "intl_ingress_calls", "auth_failed_calls", "after_refusal_calls",
    )  # fmt: skip
    sql = f"""
        SELECT number, uniqExact(day) AS active_days, max(calls_out) AS calls_out_max,
            {", ".join(f"sum({name}) AS sum_{name}" for name in sums)},
            avg(sequential_ratio) AS sequential, max(max_calls_per_callee) AS per_callee,
            max(max_calls_per_minute) AS per_minute, max(max_callers_share_callee) AS share_callee,
            max(imei_count) AS devices
        FROM behaviour FINAL
        WHERE day > %(end)s - 31 AND day < %(end)s{_only(numbers)}
        GROUP BY number ORDER BY number
    """
    return store.query(sql, {"end": end}, _asked(numbers))


def rule_days(store: Store, as_of_ms: int, numbers: I64 | None, signals: Signals) -> pa.Table:
    """By number: for each rule the days of the window on which it fired and the last of them, and
    for all the days with calls and those whose calls were authenticated.
    """
    end = (as_of_ms + 8 * 3_600_000) // DAY_MS
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
        WHERE day >= %(end)s - {signals.window_days} AND day < %(end)s{_only(numbers)}
        GROUP BY number ORDER BY number
        """,
        {"end": end},
        _asked(numbers),
    )


def outbound(store: Store, as_of_ms: int) -> pa.Table:
    """number, prefix and outbound_allowed of the registrations in force."""
    return store.query(
        """
        SELECT number, prefix, outbound_allowed FROM registry FINAL
        WHERE valid_from_ms <= %(as_of)s AND valid_until_ms > %(as_of)s
        """,
        {"as_of": as_of_ms},
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
    for table in ("features", "neighbourhoods", "day_volumes", "signals"):
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
    """Append the neighbourhoods of a run: size, block and NEAR of each."""
    count = len(blocks["block"])
    store.insert("neighbourhoods", {"run": np.full(count, run, dtype=np.uint64), **blocks})


_RUN_OF_BLOCKS = """
    SELECT run FROM feature_runs
    WHERE as_of_ms <= %(as_of)s AND run IN (SELECT DISTINCT run FROM day_volumes)
    ORDER BY as_of_ms DESC, run DESC LIMIT 1
"""


def neighbourhoods(store: Store, as_of_ms: int, size: int, blocks: I64) -> pa.Table:
    """Those blocks, ascending, in the newest run made as of that time or before."""
    return store.query(
        f"""
        SELECT block, {", ".join(NEAR)} FROM neighbourhoods
        WHERE size = %(size)s AND block IN (SELECT block FROM {{blocks}})
            AND run IN ({_RUN_OF_BLOCKS})
        ORDER BY block
        """,
        {"size": size, "as_of": as_of_ms},
        {"blocks": {"block": blocks}},
    )


def return_sums(store: Store, as_of_ms: int, size: int) -> tuple[float, float]:
    """Numbers that returned and old numbers, of all blocks of a size in that run."""
    found = store.query(
        f"""
        SELECT sum(returned) AS came, sum(old) AS old FROM neighbourhoods
        WHERE size = %(size)s AND run IN ({_RUN_OF_BLOCKS})
        """,
        {"size": size, "as_of": as_of_ms},
    )
    return float(found["came"][0].as_py()), float(found["old"][0].as_py())

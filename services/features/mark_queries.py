"""The SQL over marks: which of them count, and what they sum to."""

import pyarrow as pa

from services.common.store import Store
from services.features.columns import DAY_MS
from services.features.definitions import ENTITIES
from services.features.mark_rows import Volumes
from services.features.mark_sums import SUMS, TIMES

_EVENTS = """
    SELECT DISTINCT number, occurred_ms, kind FROM lifecycle
    WHERE occurred_ms <= %(as_of)s AND kind IN (1, 2, 3)
"""
_EPOCHS = f"""
    SELECT number, maxIf(occurred_ms, kind != 3) AS start_ms, sum(kind = 1) AS epoch,
        maxIf(occurred_ms, kind = 2) AS released_ms, maxIf(occurred_ms, kind = 3) AS ported_ms
    FROM ({_EVENTS}) GROUP BY number
"""
_COUNTING = f"""
    marks ANY LEFT JOIN ({_EPOCHS}) USING number
    WHERE occurred_ms <= %(as_of)s AND occurred_ms >= start_ms AND withdrawn = 0
        AND mark_key NOT IN (
            SELECT toUInt64(mark_key - 1) FROM marks
            WHERE withdrawn = 1 AND occurred_ms <= %(as_of)s
        )
"""
"""FROM … WHERE of the marks that count: by then, in the present epoch, not taken out.
`mark_rows.counting` says the same of rows that were read."""


def epochs(store: Store, as_of_ms: int) -> pa.Table:
    """number, start_ms, epoch, released_ms, ported_ms of numbers with an event by then; 0: none."""
    return store.query(f"{_EPOCHS} ORDER BY number", {"as_of": as_of_ms})


def withdrawals(store: Store, as_of_ms: int) -> pa.Table:
    """number and withdrawn_marks: marks of the present epoch taken back by then."""
    sql = f"""
        SELECT number, count() AS withdrawn_marks
        FROM marks ANY LEFT JOIN ({_EPOCHS}) USING number
        WHERE withdrawn = 1 AND occurred_ms <= %(as_of)s AND occurred_ms >= start_ms
        GROUP BY number ORDER BY number
    """
    return store.query(sql, {"as_of": as_of_ms})


def _newest(values: str) -> str:
    """The times, newest first, at which each distinct known value was last seen."""
    return (
        f"arrayFilter((time, k, value) -> k = 1 AND value != 0, times,"
        f" arrayEnumerateUniq({values}), {values})"
    )


def mark_dynamics(store: Store, as_of_ms: int, volumes: Volumes) -> pa.Table:
    """`mark_sums.SUMS` of the marks that count, by number, ascending, of all numbers.

    One pass over the marks gathers those of a number into arrays; all else is computed from these,
    which costs half of a state of aggregation for each sum and a quarter for each distinct count.

    Args:
        store: where the marks are.
        as_of_ms: epoch milliseconds.
        volumes: of days; a day not among them weighs 1 and has age 0.
    """
    # Shifted by one: 0 is what a join gives for a day that is not there.
    of_days = {"day": volumes.days, "excess": volumes.weights - 1, "volume_age": volumes.ages}
    arrays = ", ".join(f"groupArray({entity}) AS {entity}_array" for entity in ENTITIES)
    ordered = ", ".join(
        f"arrayReverseSort((value, time) -> time, {entity}_array, time_array) AS {entity}s_in_order"
        for entity in ENTITIES
    )
    seen = ", ".join(f"{_newest(f'{entity}s_in_order')} AS {TIMES[entity]}" for entity in ENTITIES)
    columns = ", ".join(f"{one.sql} AS {name}" for name, one in SUMS.items())
    kept = "number, marks, excesses, calls, volume_ages, times"
    sql = f"""
        SELECT number, marks, {columns}
        FROM (
            SELECT {kept}, mark_days, origins_in_order, labels_in_order, {seen},
                arrayFilter((time, k) -> k = 1, times, arrayEnumerateUniq(mark_days)) AS day_times,
                arrayMap((a, b) -> a - b, arrayPopBack(times), arrayPopFront(times)) AS gaps
            FROM (
                SELECT {kept}, {ordered},
                    arrayMap(time -> intDiv(time, {DAY_MS}), times) AS mark_days
                FROM (
                    SELECT number, toUInt32(count()) AS marks, sum(excess) AS excesses,
                        countIf(call_ms > 0) AS calls, groupArray(volume_age) AS volume_ages,
                        groupArray(occurred_ms) AS time_array, {arrays},
                        arrayReverseSort(time_array) AS times
                    FROM (
                        SELECT number, occurred_ms, call_ms, {", ".join(ENTITIES)},
                            intDiv(occurred_ms, {DAY_MS}) AS day
                        FROM {_COUNTING}
                    ) ANY LEFT JOIN (SELECT day, excess, volume_age FROM {{days}}) USING day
                    GROUP BY number
                )
            )
        )
        ORDER BY number
    """
    return store.query(sql, {"as_of": as_of_ms}, {"days": of_days})

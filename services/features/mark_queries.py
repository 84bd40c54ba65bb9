"""The SQL over marks: which of them count, and what they sum to."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common.store import Store
from services.features.columns import DAY_MS, FIRST, I64
from services.features.definitions import (
    DECAY_DAYS,
    ENTITIES,
    MARK_WINDOWS_DAYS,
    NTH_MARKS,
    VOLUME_DECAY_DAYS,
    WEEKS,
    WINDOWED_ENTITIES,
)

U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Volumes:
    """How many marks there were on days, over all numbers.

    Attributes:
        days: since 1970, UTC, ascending, (d,).
        weights: of a mark of each day, (d,).
        ages: how much was marked after each day, in mean days' marks, (d,).
    """

    days: I64
    weights: npt.NDArray[np.float64]
    ages: npt.NDArray[np.float64]


Tables = dict[str, dict[str, npt.NDArray[Any]]]

_EPOCHS = """
    SELECT number, maxIf(occurred_ms, kind != 3) AS start_ms, sum(kind = 1) AS epoch,
        maxIf(occurred_ms, kind = 2) AS released_ms, maxIf(occurred_ms, kind = 3) AS ported_ms
    FROM (SELECT DISTINCT number, occurred_ms, kind FROM lifecycle
          WHERE occurred_ms <= %(as_of)s AND kind IN (1, 2, 3){only})
    GROUP BY number
"""


def _only(numbers: I64 | None) -> str:
    return "" if numbers is None else " AND number IN (SELECT number FROM {asked})"


def _asked(numbers: I64 | None) -> Tables:
    return {} if numbers is None else {"asked": {"number": numbers}}


def _counting(only: str, is_excluding: bool = False) -> str:
    """FROM … WHERE of the marks that count: by then, in the present epoch, not taken out."""
    out = " AND mark_key NOT IN (SELECT mark_key FROM {excluded})" if is_excluding else ""
    return f"""
        marks ANY LEFT JOIN ({_EPOCHS.replace("{only}", only)}) USING number
        WHERE occurred_ms <= %(as_of)s AND occurred_ms >= start_ms AND withdrawn = 0
            AND mark_key NOT IN (
                SELECT toUInt64(mark_key - 1) FROM marks
                WHERE withdrawn = 1 AND occurred_ms <= %(as_of)s{only}
            ){only}{out}
    """


def epochs(store: Store, as_of_ms: int, numbers: I64 | None) -> pa.Table:
    """number, start_ms, epoch, released_ms, ported_ms of numbers with an event by then; 0: none."""
    sql = _EPOCHS.replace("{only}", _only(numbers)) + " ORDER BY number"
    return store.query(sql, {"as_of": as_of_ms}, _asked(numbers))


def withdrawals(store: Store, as_of_ms: int, numbers: I64 | None) -> pa.Table:
    """number and withdrawn_marks: marks of the present epoch taken back by then."""
    sql = f"""
        SELECT number, count() AS withdrawn_marks
        FROM marks ANY LEFT JOIN ({_EPOCHS.replace("{only}", _only(numbers))}) USING number
        WHERE withdrawn = 1 AND occurred_ms <= %(as_of)s AND occurred_ms >= start_ms
            {_only(numbers)}
        GROUP BY number ORDER BY number
    """
    return store.query(sql, {"as_of": as_of_ms}, _asked(numbers))


def _from_arrays() -> dict[str, str]:
    """By name, what the ordered arrays of one number's marks say: narrow, for rows are many."""
    area = f"intDiv((number - {FIRST}) % 10000000000, 10000000)"
    sums = {
        **{
            f"decayed_{days}d": "arraySum(time ->"
            f" exp2((time - %(as_of)s) / {days * DAY_MS}), times)"
            for days in DECAY_DAYS
        },
        **{
            f"decayed_{days}v": f"arraySum(age -> exp2(-age / {days}), volume_ages)"
            for days in VOLUME_DECAY_DAYS
        },
        "first_volume_age": "arrayReduce('max', volume_ages)",
        "last_volume_age": "arrayReduce('min', volume_ages)",
        "day_weighted": "marks + excesses",
        "origin_known": "arrayCount(origin -> origin != 0, origins_in_order) / marks",
        "call_proof": "calls / marks",
        "weekend": "arrayCount(d -> (d + 4) % 7 = 0 OR (d + 4) % 7 = 6, mark_days) / marks",
        "same_area": f"arrayCount(origin -> origin = {area}, origins_in_order) / marks",
        "origin_entropy": _entropy("origins_in_order"),
        "label_entropy": _entropy("labels_in_order"),
        "day_entropy": _entropy("mark_days"),
    }
    return {
        **{f"marks_{days}d": _since(days, "times") for days in MARK_WINDOWS_DAYS},
        **{name: f"toFloat32({sql})" for name, sql in sums.items()},
        **{f"nth_{n}_ms": f"arrayElement(times, {n})" for n in NTH_MARKS},
        **{f"{entity}s": f"length({entity}_times)" for entity in ENTITIES},
        **{
            f"{entity}s_{days}d": _since(days, f"{entity}_times")
            for entity in WINDOWED_ENTITIES
            for days in MARK_WINDOWS_DAYS
        },
        "origin_top": "toUInt32(arrayReduce('max', arrayEnumerateUniq(origins_in_order)))",
        "days": "length(day_times)",
        **{f"days_{days}d": _since(days, "day_times") for days in MARK_WINDOWS_DAYS},
        "weeks": f"arrayUniq(arrayMap(time -> intDiv(%(as_of)s - time, {7 * DAY_MS}),"
        f" arrayFilter(time -> time > %(as_of)s - {WEEKS * 7 * DAY_MS}, times)))",
        "top_day": "toUInt32(arrayReduce('max', arrayEnumerateUniq(mark_days)))",
        "last_day": "toUInt32(countEqual(mark_days, arrayElement(mark_days, 1)))",
        "gap_max_ms": "toInt64(arrayReduce('max', gaps))",
        "gap_last_ms": "toInt64(arrayElement(gaps, 1))",
        "gap_squares": f"arraySum(gap -> pow(gap / {DAY_MS}, 2), gaps)",
        "later": f"arrayCount(time -> time > first_ms + {DAY_MS // 2}"
        f" AND time <= first_ms + {61 * DAY_MS // 2}, times)",
    }


def _since(days: int, times: str) -> str:
    return f"arrayCount(time -> time > %(as_of)s - {days * DAY_MS}, {times})"


def _newest(values: str) -> str:
    """The times, newest first, at which each distinct known value was last seen."""
    return (
        f"arrayFilter((time, k, value) -> k = 1 AND value != 0, times,"
        f" arrayEnumerateUniq({values}), {values})"
    )


def _entropy(values: str) -> str:
    """Entropy in bits of the values of an array.

    The k-th occurrence of a value adds k log k - (k - 1) log (k - 1), which sums to c log c.
    """
    return (
        f"log2(marks) - arraySum(k -> if(k = 1, 0, k * log2(k) - (k - 1) * log2(k - 1)),"
        f" arrayEnumerateUniq({values})) / marks"
    )


def mark_dynamics(
    store: Store,
    as_of_ms: int,
    numbers: I64 | None,
    volumes: Volumes,
    excluded: U64 | None = None,
) -> pa.Table:
    """Aggregates of the marks that count, by number, ascending.

    One pass over the marks gathers those of a number into arrays; all else is computed from these,
    which costs half of a state of aggregation for each sum and a quarter for each distinct count.

    Args:
        store: where the marks are.
        as_of_ms: epoch milliseconds.
        numbers: ascending; None: all.
        volumes: of days; a day not among them weighs 1 and has age 0.
        excluded: keys of marks that do not count.

    Returns:
        Among others `later`: the marks from half a day to 30.5 days after the first one.
    """
    # Shifted by one: 0 is what a join gives for a day that is not there.
    of_days = {"day": volumes.days, "excess": volumes.weights - 1, "volume_age": volumes.ages}
    tables = _asked(numbers) | {"days": of_days}
    if excluded is not None:
        tables["excluded"] = {"mark_key": excluded}
    arrays = ", ".join(f"groupArray({entity}) AS {entity}_array" for entity in ENTITIES)
    ordered = ", ".join(
        f"arrayReverseSort((value, time) -> time, {entity}_array, time_array) AS {entity}s_in_order"
        for entity in ENTITIES
    )
    seen = ", ".join(f"{_newest(f'{entity}s_in_order')} AS {entity}_times" for entity in ENTITIES)
    columns = ", ".join(f"{sql} AS {name}" for name, sql in _from_arrays().items())
    kept = "number, marks, excesses, calls, volume_ages, times"
    sql = f"""
        SELECT number, marks, first_ms, last_ms, {columns}
        FROM (
            SELECT {kept}, mark_days, origins_in_order, labels_in_order, {seen},
                arrayFilter((time, k) -> k = 1, times, arrayEnumerateUniq(mark_days)) AS day_times,
                arrayMap((a, b) -> a - b, arrayPopBack(times), arrayPopFront(times)) AS gaps,
                arrayElement(times, 1) AS last_ms, arrayElement(times, -1) AS first_ms
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
                        FROM {_counting(_only(numbers), excluded is not None)}
                    ) ANY LEFT JOIN (SELECT day, excess, volume_age FROM {{days}}) USING day
                    GROUP BY number
                )
            )
        )
        ORDER BY number
    """
    return store.query(sql, {"as_of": as_of_ms}, tables)


def block_marks(store: Store, as_of_ms: int, blocks: I64, excluded: U64 | None = None) -> pa.Table:
    """Marks that count in some blocks of 10,000, by block of ten, ascending.

    Returns:
        block, numbers_30d, marks_7d, marks_30d, marks.
    """
    tables: Tables = {"blocks": {"block": blocks}}
    if excluded is not None:
        tables["excluded"] = {"mark_key": excluded}
    only = f" AND intDiv(number - {FIRST}, 10000) IN (SELECT block FROM {{blocks}})"
    sql = f"""
        SELECT intDiv(number - {FIRST}, 10) AS block, count() AS marks,
            countIf(occurred_ms > %(as_of)s - {7 * DAY_MS}) AS marks_7d,
            countIf(occurred_ms > %(as_of)s - {30 * DAY_MS}) AS marks_30d,
            uniqExactIf(number, occurred_ms > %(as_of)s - {30 * DAY_MS}) AS numbers_30d
        FROM {_counting(only, excluded is not None)}
        GROUP BY block ORDER BY block
    """
    return store.query(sql, {"as_of": as_of_ms}, tables)

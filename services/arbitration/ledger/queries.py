"""The SQL of the ledger."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common.store import Store


def labels(store: Store) -> pa.Table:
    """number, shown and sure of every published label, ascending by number."""
    return store.query(
        """
        SELECT number, shown, sure FROM (
            SELECT number, argMax(category, version) AS shown, argMax(probability, version) AS sure
            FROM published WHERE lineage = 0 GROUP BY number
        ) WHERE shown != 0 ORDER BY number
        """
    )


def samples(store: Store, from_ms: int, until_ms: int) -> list[dict[str, Any]]:
    """Drawn labels of the weeks that begin in [from, until), with their newest review."""
    found = store.query(
        """
        SELECT week_ms, number, category, probability, weight, label_count, verdict, reviewer,
            reviewed_ms
        FROM samples
        ANY LEFT JOIN (
            SELECT week_ms, number, argMax(verdict, reviewed) AS verdict,
                argMax(reviewer, reviewed) AS reviewer, max(reviewed) AS reviewed_ms
            FROM (SELECT week_ms, number, verdict, reviewer, reviewed_ms AS reviewed
                  FROM sample_reviews)
            GROUP BY week_ms, number
        ) USING (week_ms, number)
        WHERE week_ms >= %(from)s AND week_ms < %(until)s ORDER BY week_ms, number
        """,
        {"from": from_ms, "until": until_ms},
    )
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def insert_sample(
    store: Store,
    week_ms: int,
    label_count: int,
    columns: dict[str, npt.NDArray[Any]],
) -> None:
    """Append a week's sample: number, category, probability and weight of each label."""
    count = len(columns["number"])
    store.insert(
        "samples",
        {
            "week_ms": np.full(count, week_ms, dtype=np.int64),
            "label_count": np.full(count, label_count, dtype=np.uint64),
            **columns,
        },
    )


def insert_review(
    store: Store, week_ms: int, number: int, verdict: str, reviewer: str, reviewed_ms: int
) -> None:
    """Append a review."""
    store.insert(
        "sample_reviews",
        {
            "week_ms": [week_ms],
            "number": [number],
            "verdict": [verdict],
            "reviewer": [reviewer],
            "reviewed_ms": [reviewed_ms],
        },
    )


def canaries(store: Store, now_ms: int) -> tuple[int, int]:
    """Known-good numbers that are published, and those of them with level 2 and above."""
    found = store.query(
        """
        SELECT count() AS known, sum(grade >= 2) AS bad FROM (
            SELECT number, argMax(level, version) AS grade FROM published
            WHERE lineage = 0 AND number IN (
                SELECT number FROM registry
                WHERE number != 0 AND identity IN ('C01', 'C02', 'C03', 'C04')
                    AND valid_from_ms <= %(now)s AND valid_until_ms > %(now)s
                UNION ALL
                SELECT number FROM (
                    SELECT number, argMax(category, decided_ms) AS decided FROM decisions
                    WHERE valid_until_ms = 0 OR valid_until_ms > %(now)s GROUP BY number
                ) WHERE decided = 0
            ) GROUP BY number
        )
        """,
        {"now": now_ms},
    )
    return int(found["known"][0].as_py()), int(found["bad"][0].as_py() or 0)


def disputes(store: Store, since_ms: int, relabelled: int, cleared: int) -> tuple[int, int]:
    """Disputes decided since, and those whose outcome took the label away or changed it."""
    found = store.query(
        """
        SELECT count() AS decided, sum(outcome IN (%(relabelled)s, %(cleared)s)) AS overturned
        FROM disputes FINAL WHERE decided_ms >= %(since)s AND decided_ms > 0
        """,
        {"since": since_ms, "relabelled": relabelled, "cleared": cleared},
    )
    return int(found["decided"][0].as_py()), int(found["overturned"][0].as_py() or 0)

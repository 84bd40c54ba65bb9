"""The SQL of neighbours and campaigns."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common.runs import kept_runs
from services.common.store import Store
from services.common.taxonomy import confirmed
from services.features.queries import DAY_MS

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
CHUNK = 200_000
CHINA_MS = 8 * 3_600_000


def newest_run(store: Store) -> tuple[int, int] | None:
    """The whole run for the latest time, and that time in epoch milliseconds; None without one."""
    found = store.query(
        "SELECT run, as_of_ms FROM feature_runs ORDER BY as_of_ms DESC, run DESC LIMIT 1"
    )
    if found.num_rows == 0:
        return None
    return int(found["run"][0].as_py()), int(found["as_of_ms"][0].as_py())


def run_names(store: Store, run: int) -> list[str]:
    """Names of a run's features, in order."""
    found = store.query("SELECT names FROM feature_runs WHERE run = %(run)s", {"run": run})
    return str(found["names"][0].as_py()).split(",")


def rows(store: Store, run: int) -> Iterator[tuple[I64, F32]]:
    """Numbers of a run, ascending, and their feature rows, (n, features), in chunks."""
    after = -1
    while True:
        table = store.query(
            f"""
            SELECT number, row FROM features WHERE run = %(run)s AND number > %(after)s
            ORDER BY number LIMIT {CHUNK}
            """,
            {"run": run, "after": after},
        )
        if table.num_rows == 0:
            return
        numbers = table["number"].to_numpy().astype(np.int64)
        flat = table["row"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        yield numbers, flat.astype(np.float32).reshape(len(numbers), -1)
        after = int(numbers[-1])


def conspicuous(store: Store, run: int) -> I64:
    """Numbers for which a rule fired in a run, victims left out, ascending."""
    found = store.query(
        "SELECT DISTINCT number FROM signals WHERE run = %(run)s AND victim = 0 ORDER BY number",
        {"run": run},
    )
    return found["number"].to_numpy().astype(np.int64)


def active_days(store: Store, as_of_ms: int, numbers: I64) -> pa.Table:
    """number and days: bit i is set if it called i + 1 days before the day, in China."""
    end = (as_of_ms + CHINA_MS) // DAY_MS
    return store.query(
        """
        SELECT number, groupBitOr(bitShiftLeft(toUInt32(1), toUInt8(%(end)s - 1 - day))) AS days
        FROM behaviour
        WHERE day > %(end)s - 31 AND day < %(end)s AND calls_out > 0
            AND number IN (SELECT number FROM {asked})
        GROUP BY number ORDER BY number
        """,
        {"end": end},
        {"asked": {"number": numbers}},
    )


def said(store: Store, as_of_ms: int, numbers: I64) -> pa.Table:
    """number, label and times: the marks of the last 30 days by number and label."""
    return store.query(
        """
        SELECT number, label, count() AS times FROM marks
        WHERE occurred_ms <= %(as_of)s AND occurred_ms > %(from)s AND withdrawn = 0
            AND number IN (SELECT number FROM {asked})
        GROUP BY number, label ORDER BY number, label
        """,
        {"as_of": as_of_ms, "from": as_of_ms - 30 * DAY_MS},
        {"asked": {"number": numbers}},
    )


def labels(store: Store) -> pa.Table:
    """label, source's name and text of every label."""
    return store.query(
        """
        SELECT label, name, text FROM (SELECT label, source, text FROM labels FINAL)
        ANY LEFT JOIN (SELECT source, name FROM sources FINAL) USING source
        """
    )


def confirmed_meanings(store: Store) -> list[dict[str, Any]]:
    """What reviewers said that labels mean, by time."""
    return store.query(
        f"SELECT {', '.join(confirmed.COLUMNS)} FROM mappings ORDER BY confirmed_ms, label"
    ).to_pylist()


def insert_campaigns(store: Store, run: int, columns: dict[str, npt.NDArray[Any]]) -> None:
    """Append the members of a run's campaigns, and drop those of runs no longer kept."""
    count = len(columns["number"])
    if count:
        store.insert("campaigns", {"run": np.full(count, run, dtype=np.uint64), **columns})
    kept = kept_runs(store, "feature_runs") | {run}
    for old in store.query("SELECT DISTINCT run FROM campaigns")["run"].to_pylist():
        if old not in kept:
            store.execute(f"ALTER TABLE campaigns DROP PARTITION {int(old)}")


def campaign_page(store: Store, run: int, after: int, limit: int) -> pa.Table:
    """Members of the campaigns of a run above `after`, by campaign, those with most marks first."""
    return store.query(
        """
        SELECT campaign, number, hostile, days, category FROM campaigns
        WHERE run = %(run)s AND campaign > %(after)s AND campaign <= %(last)s
        ORDER BY campaign, hostile DESC, number
        """,
        {"run": run, "after": after, "last": after + limit},
    )


def campaign_count(store: Store, run: int) -> int:
    """Campaigns of a run."""
    found = store.query(
        "SELECT uniqExact(campaign) AS campaigns FROM campaigns WHERE run = %(run)s", {"run": run}
    )
    return int(found["campaigns"][0].as_py())


def campaigns_of(store: Store, run: int, numbers: I64) -> dict[int, int]:
    """The campaign of each of some numbers that is in one."""
    found = store.query(
        """
        SELECT number, campaign FROM campaigns
        WHERE run = %(run)s AND number IN (SELECT number FROM {asked})
        """,
        {"run": run},
        {"asked": {"number": numbers}},
    )
    return dict(zip(found["number"].to_pylist(), found["campaign"].to_pylist(), strict=True))

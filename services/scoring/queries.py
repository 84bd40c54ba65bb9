"""The SQL of the scoring service."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common.store import Store

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]


def run_names(store: Store, run: int) -> list[str] | None:
    """Names of a run's features; None where features or arbitration are not finished."""
    found = store.query("SELECT names FROM feature_runs WHERE run = %(run)s", {"run": run})
    judged = store.query("SELECT run FROM arbitration_runs WHERE run = %(run)s", {"run": run})
    if found.num_rows == 0 or judged.num_rows == 0:
        return None
    return str(found["names"][0].as_py()).split(",")


def feature_rows(store: Store, run: int, after: int, limit: int) -> tuple[I64, F32]:
    """Numbers above `after`, ascending, at most `limit`, and their rows (n, features)."""
    table = store.query(
        """
        SELECT number, row FROM features WHERE run = %(run)s AND number > %(after)s
        ORDER BY number LIMIT %(limit)s
        """,
        {"run": run, "after": after, "limit": limit},
    )
    return table["number"].to_numpy().astype(np.int64), _matrix(table["row"], np.float32)


def posteriors(store: Store, run: int, low: int, high: int) -> dict[str, npt.NDArray[Any]]:
    """Posteriors of low <= number <= high, ascending."""
    table = store.query(
        """
        SELECT number, categories, probabilities, effective_sources, mark_count, former_mark_count
        FROM posteriors WHERE run = %(run)s AND number >= %(low)s AND number <= %(high)s
        ORDER BY number
        """,
        {"run": run, "low": low, "high": high},
    )
    found = {
        name: table[name].to_numpy()
        for name in ("number", "effective_sources", "mark_count", "former_mark_count")
    }
    found["categories"] = _matrix(table["categories"], np.uint16)
    found["probabilities"] = _matrix(table["probabilities"], np.float32)
    return found


def _matrix(column: pa.ChunkedArray, dtype: type) -> npt.NDArray[Any]:
    """A list column whose lists are equally long, as (n, length)."""
    array = column.combine_chunks()
    count = len(array)
    flat = array.flatten().to_numpy(zero_copy_only=False).astype(dtype)
    return flat.reshape(count, -1) if count else flat.reshape(0, 0)


def marks_between(store: Store, start_ms: int, end_ms: int) -> tuple[I64, I64]:
    """Numbers marked in (start, end], ascending, and how often."""
    table = store.query(
        """
        SELECT number, count() AS marks FROM marks
        WHERE occurred_ms > %(start)s AND occurred_ms <= %(end)s AND withdrawn = 0
        GROUP BY number ORDER BY number
        """,
        {"start": start_ms, "end": end_ms},
    )
    return table["number"].to_numpy().astype(np.int64), table["marks"].to_numpy().astype(np.int64)


def first_mark_ms(store: Store) -> int:
    """Time of the oldest mark, 0 without marks."""
    return int(store.query("SELECT min(occurred_ms) AS first FROM marks")["first"][0].as_py() or 0)


def insert_scores(store: Store, run: int, numbers: I64, risk: F32, reasons: list[str]) -> None:
    """Append scores to a run."""
    store.insert(
        "scores",
        {
            "run": np.full(len(numbers), run, dtype=np.uint64),
            "number": numbers,
            "risk": risk,
            "reasons": reasons,
        },
    )


def finish_run(
    store: Store, run: int, model_version: str, number_count: int, finished_ms: int
) -> None:
    """Record that a run is whole, and drop the rows of all but the two newest."""
    store.insert(
        "score_runs",
        {
            "run": [run],
            "model_version": [model_version],
            "number_count": [number_count],
            "finished_ms": [finished_ms],
        },
    )
    kept = store.query("SELECT run FROM score_runs ORDER BY run DESC LIMIT 2")["run"].to_pylist()
    for old in store.query("SELECT DISTINCT run FROM scores")["run"].to_pylist():
        if old not in kept:
            store.execute(f"ALTER TABLE scores DROP PARTITION {int(old)}")


def suspicions(store: Store, run: int, low: int, high: int) -> dict[str, npt.NDArray[Any]]:
    """number and mark_key of the marks in quarantine of low <= number <= high."""
    table = store.query(
        """
        SELECT number, mark_key FROM suspicions
        WHERE run = %(run)s AND number >= %(low)s AND number <= %(high)s ORDER BY number
        """,
        {"run": run, "low": low, "high": high},
    )
    return {name: table[name].to_numpy() for name in table.column_names}


def run_as_of_ms(store: Store, run: int) -> int:
    """The time that a run's features are for."""
    found = store.query("SELECT as_of_ms FROM feature_runs WHERE run = %(run)s", {"run": run})
    return int(found["as_of_ms"][0].as_py())


def feature_names(store: Store, run: int) -> list[str] | None:
    """Names of a run's features; None where they are not finished."""
    found = store.query("SELECT names FROM feature_runs WHERE run = %(run)s", {"run": run})
    return str(found["names"][0].as_py()).split(",") if found.num_rows else None


def any_behaviour(store: Store) -> bool:
    """Whether carriers have told anything of any number."""
    return store.query("SELECT number FROM behaviour LIMIT 1").num_rows > 0


def known_rows(
    store: Store, run: int, place: int, after: int, limit: int, marked: bool
) -> tuple[I64, F32]:
    """Numbers above `after` whose feature at a place (from 0) is known, ascending, at most
    `limit`, and their rows (n, features).

    Args:
        marked: only numbers with a mark.
    """
    only = " AND number IN (SELECT number FROM marks)" if marked else ""
    table = store.query(
        f"""
        SELECT number, row FROM features
        WHERE run = %(run)s AND number > %(after)s AND NOT isNaN(row[{place + 1}]){only}
        ORDER BY number LIMIT %(limit)s
        """,
        {"run": run, "after": after, "limit": limit},
    )
    return table["number"].to_numpy().astype(np.int64), _matrix(table["row"], np.float32)


def judged(store: Store, run: int, low: int, high: int) -> dict[str, npt.NDArray[Any]]:
    """Posteriors of low <= number <= high with marks or a decision, ascending."""
    table = store.query(
        """
        SELECT number, categories, probabilities, decided_category FROM posteriors
        WHERE run = %(run)s AND number >= %(low)s AND number <= %(high)s
            AND (mark_count > 0 OR decided_category >= 0)
        ORDER BY number
        """,
        {"run": run, "low": low, "high": high},
    )
    return {
        "number": table["number"].to_numpy().astype(np.int64),
        "categories": _matrix(table["categories"], np.int64),
        "probabilities": _matrix(table["probabilities"], np.float64),
        "decided": table["decided_category"].to_numpy() >= 0,
    }


def insert_priors(store: Store, run: int, numbers: I64, log_ratios: F32) -> None:
    """Append priors, (n, C), to a run."""
    width = log_ratios.shape[1]
    offsets = np.arange(0, (len(numbers) + 1) * width, width, dtype=np.int32)
    values = pa.ListArray.from_arrays(pa.array(offsets), pa.array(log_ratios.ravel()))
    runs = np.full(len(numbers), run, dtype=np.uint64)
    store.insert("priors", pa.table({"run": runs, "number": numbers, "log_ratios": values}))


def finish_prior_run(
    store: Store,
    run: int,
    classes: Sequence[int],
    model_version: str,
    number_count: int,
    finished_ms: int,
) -> None:
    """Record that a run has its priors, and drop the rows of all but the two newest."""
    store.insert(
        "prior_runs",
        {
            "run": [run],
            "classes": [",".join(map(str, classes))],
            "model_version": [model_version],
            "number_count": [number_count],
            "finished_ms": [finished_ms],
        },
    )
    runs = "SELECT DISTINCT run FROM prior_runs ORDER BY run DESC LIMIT 2"
    kept = store.query(runs)["run"].to_pylist()
    for old in store.query("SELECT DISTINCT run FROM priors")["run"].to_pylist():
        if old not in kept:
            store.execute(f"ALTER TABLE priors DROP PARTITION {int(old)}")

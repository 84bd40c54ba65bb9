"""The SQL of watching models: drift, and scores in shadow."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.store import Store
from services.scoring.queries import F32, I64

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shadowed:
    """How far a model in shadow was from the active one in a run; see schema/0031_shadow.sql."""

    run: int
    as_of_ms: int
    version: str
    active_version: str
    number_count: int
    mean_absolute: float
    rank_correlation: float
    flipped_ratio: float
    positive_marks: int
    horizon_days: int
    is_kept: int
    finished_ms: int


@dataclass(frozen=True)
class Outcome:
    """Which of the two was right; see schema/0031_shadow.sql."""

    run: int
    as_of_ms: int
    version: str
    active_version: str
    row_count: int
    positive_count: int
    log_loss: float
    active_log_loss: float
    difference: float
    lower: float
    upper: float
    judged_ms: int


def insert_drift(
    store: Store, run: int, version: str, names: tuple[str, ...], indices: F64, found_ms: int
) -> None:
    """Record the stability index of each column, (columns,), of a run."""
    count = len(names)
    store.insert(
        "drift",
        {
            "run": np.full(count, run, dtype=np.uint64),
            "model_version": [version] * count,
            "feature": list(names),
            "stability_index": indices,
            "found_ms": np.full(count, found_ms, dtype=np.int64),
        },
    )


def newest_drift(store: Store, version: str) -> dict[str, Any] | None:
    """run, found_ms, and names and indices of the columns, the most drifted first, of the newest
    run that a model scored; None without one."""
    table = store.query(
        """
        SELECT run, feature, argMax(stability_index, found_ms) AS found, max(found_ms) AS at
        FROM drift WHERE model_version = %(version)s AND run IN
            (SELECT max(run) FROM drift WHERE model_version = %(version)s)
        GROUP BY run, feature ORDER BY found DESC, feature
        """,
        {"version": version},
    )
    if table.num_rows == 0:
        return None
    return {
        "run": int(table["run"][0].as_py()),
        "found_ms": int(table["at"][0].as_py()),
        "names": table["feature"].to_pylist(),
        "indices": table["found"].to_pylist(),
    }


def insert_shadow_scores(
    store: Store, run: int, numbers: I64, active_risk: F32, risk: F32, weight: F32
) -> None:
    """Keep scores of numbers, (n,) each, of a run."""
    store.insert(
        "shadow_scores",
        {
            "run": np.full(len(numbers), run, dtype=np.uint64),
            "number": numbers,
            "active_risk": active_risk,
            "risk": risk,
            "weight": weight,
        },
    )


def shadow_scores(store: Store, run: int) -> dict[str, npt.NDArray[Any]]:
    """number, active_risk, risk and weight of the kept numbers of a run, ascending."""
    table = store.query(
        """
        SELECT number, active_risk, risk, weight FROM shadow_scores
        WHERE run = %(run)s ORDER BY number
        """,
        {"run": run},
    )
    return {name: table[name].to_numpy() for name in table.column_names}


def drop_shadow_scores(store: Store, run: int) -> None:
    """Forget the scores of a run; nothing where there are none."""
    store.execute(f"ALTER TABLE shadow_scores DROP PARTITION {int(run)}")


def insert_shadowed(store: Store, found: Shadowed) -> None:
    """Record the differences of a run; last of its rows."""
    store.insert("shadow_runs", {name: [value] for name, value in asdict(found).items()})


def insert_outcome(store: Store, found: Outcome) -> None:
    """Record which model was right in a run."""
    store.insert("shadow_outcomes", {name: [value] for name, value in asdict(found).items()})


def shadowed(store: Store, version: str) -> Shadowed | None:
    """The newest run that a model was in shadow of."""
    names = ", ".join(Shadowed.__dataclass_fields__)
    table = store.query(
        f"""
        SELECT {names} FROM shadow_runs WHERE version = %(version)s
        ORDER BY finished_ms DESC LIMIT 1
        """,
        {"version": version},
    )
    return Shadowed(**table.to_pylist()[0]) if table.num_rows else None


def outcome(store: Store, version: str) -> Outcome | None:
    """The newest run of which it is known whether the model in shadow was right."""
    names = ", ".join(Outcome.__dataclass_fields__)
    table = store.query(
        f"""
        SELECT {names} FROM shadow_outcomes WHERE version = %(version)s
        ORDER BY as_of_ms DESC, judged_ms DESC LIMIT 1
        """,
        {"version": version},
    )
    return Outcome(**table.to_pylist()[0]) if table.num_rows else None


def unjudged(store: Store) -> list[Shadowed]:
    """Runs whose scores are kept, oldest first; of a run scored twice the last."""
    names = ", ".join(Shadowed.__dataclass_fields__)
    table = store.query(
        f"""
        SELECT {names} FROM shadow_runs
        WHERE is_kept = 1 AND run NOT IN (SELECT run FROM shadow_outcomes)
        ORDER BY as_of_ms, finished_ms
        """
    )
    last = {row["run"]: Shadowed(**row) for row in table.to_pylist()}
    return list(last.values())

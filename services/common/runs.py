"""Which runs of the jobs are kept: a run over the past must not take the place of the present."""

from services.common.store import Store

KEPT = 2
PRESENT_MS = 24 * 3_600_000
"""A pass over a time not longer ago is one over the present, which others went on from while it
was made: a pass that takes longer is of no use."""


def kept_runs(store: Store, table: str) -> set[int]:
    """The newest runs by id, which jobs are working on, and by the time they are for.

    Args:
        table: has `run` and `as_of_ms`, a row for each whole run.
    """
    rows = store.query(f"SELECT run, as_of_ms FROM {table}").to_pylist()
    by_id = sorted((row["run"] for row in rows), reverse=True)
    by_time = sorted(((row["as_of_ms"], row["run"]) for row in rows), reverse=True)
    return {*by_id[:KEPT], *(run for _, run in by_time[:KEPT])}

"""The sums of EM as GROUP BYs where the rows are: shard by shard, each over its own numbers."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from services.arbitration import queries
from services.arbitration.domain import F64, Accuracies, Marks
from services.arbitration.prior import Prior
from services.arbitration.weighing import Weighed
from services.common.store import Store

MASS = 2**32 - 1
"""Stands for a cell in which every number weighs one: its sum is the class prior's."""

_SUMS = """
SELECT cell, sumForEach(arrayMap(p -> p * weight, post)) AS expected
FROM (
    SELECT cells, weights, raised, decided, arraySum(raised) AS total,
        if(decided >= 0, arrayMap(k -> toFloat64(k = decided), range(length(raised))),
            arrayMap(e -> e / total, raised)) AS post
    FROM (
        SELECT cells, weights, decided, scores, arrayReduce('max', scores) AS top,
            arrayMap(s -> exp(s - top), scores) AS raised
        FROM (
            SELECT number, any(decided) AS decided,
                arrayConcat(groupArray(cell), [toUInt32(%(mass)s)]) AS cells,
                arrayConcat(groupArray(toFloat64(weight)), [toFloat64(1)]) AS weights,
                sumForEach(arrayMap(l -> l * weight, logs)) AS sums,
                arrayMap((s, p) -> s + p, sums, %(prior)s) AS scores
            FROM cells ANY LEFT JOIN (
                SELECT cell, arraySort(x -> x.1, groupArray((place, log))) AS pairs,
                    arrayMap(x -> x.2, pairs) AS logs
                FROM {table} GROUP BY cell
            ) USING cell
            WHERE run = %(run)s
            GROUP BY number
        )
    )
)
ARRAY JOIN cells AS cell, weights AS weight
GROUP BY cell
"""


def write_cells(
    store: Store,
    run: int,
    marks: Marks,
    weighed: Weighed,
    gold: Mapping[int, int],
    prior: Prior | None = None,
) -> None:
    """Append what `weigh` made of some numbers to the cells of a run.

    Args:
        gold: row -> place of the decided category.
        prior: what behaviour says. Its columns are cells too: one whose log is 1 for the categories
            of a class and 0 for all others adds the class's ratio to just these.
    """
    plain = weighed.cells
    cells = plain.tocoo()
    if prior is not None:
        spoken = (np.diff(plain.indptr) > 0)[:, None]
        told = sparse.csr_matrix(np.where(spoken, prior.weight * prior.value[:, :-1], 0))
        cells = sparse.hstack([plain, told]).tocoo()
    decided = np.full(len(marks.numbers), -1, dtype=np.int16)
    for row, place in gold.items():
        decided[row] = place
    queries.insert_run_rows(
        store,
        "cells",
        run,
        {
            "number": marks.numbers[cells.row],
            "cell": cells.col.astype(np.uint32),
            "weight": cells.data.astype(np.float32),
            "decided": decided[cells.row],
        },
    )


class StoreSums:
    """Expected weights under given accuracies, from the cells of a run; see `learning.Sums`."""

    def __init__(self, store: Store, run: int, prior: Prior | None = None) -> None:
        """Nothing is asked yet; `prior`: one of those that `write_cells` had."""
        self._store, self._run = store, run
        self._prior = prior

    def __call__(self, found: Accuracies) -> tuple[F64, F64]:
        """Sums of all shards: (L * levels, K) by cell and category, (K,) of the numbers."""
        table = found.table()
        size, width = table.shape
        whole = table
        if self._prior is not None:
            of_class = np.arange(self._prior.value.shape[1] - 1)[:, None] == self._prior.column
            whole = np.concatenate([table, of_class.astype(np.float64)])
        logs = pa.table(
            {
                "cell": np.repeat(np.arange(len(whole), dtype=np.uint32), width),
                "place": np.tile(np.arange(width, dtype=np.uint16), len(whole)),
                "log": whole.ravel(),
            }
        )
        asked: dict[str, Any] = {
            "run": self._run, "mass": MASS, "prior": [float(p) for p in found.log_prior],
        }  # fmt: skip
        with self._store.shards() as shards, ThreadPoolExecutor(len(shards)) as pool:
            parts = list(pool.map(lambda shard: shard.query(_SUMS, asked, {"table": logs}), shards))
        counts, mass = np.zeros((size, width)), np.zeros(width)
        for part in parts:
            expected: npt.NDArray[np.float64] = (
                part["expected"].combine_chunks().flatten().to_numpy().reshape(-1, width)
            )
            cell = part["cell"].to_numpy().astype(np.int64)
            mass += expected[cell == MASS].sum(axis=0)
            spoken = cell < size
            counts[cell[spoken]] += expected[spoken]
        return counts, mass

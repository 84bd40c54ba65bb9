"""One checked table of answers, ordered by task, as every estimator of this package reads it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from services.common.errors import InvalidArgument

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

UNKNOWN = -1
"""In a gold column: no truth known for the task."""
_CHUNK_ANSWERS = 1 << 16
_ALONE_ANSWERS = 1 << 16
"""With fewer, a second thread costs more than it does. Ours."""
_PARTS = 2


@dataclass(frozen=True)
class Answers:
    """Answers that weigh more than nothing, ordered by task.

    Attributes:
        task_start: int64 (n_tasks + 1,): task i has answers task_start[i] to task_start[i + 1].
        worker, label: int32 (n,): codes.
        weight: float64 (n,), in (0, 1].
        support: float64 (n_labels, n_classes): share of class k in label y; rows sum to 1.
        gold: int64 (n_tasks,): class, or UNKNOWN.
        prior: float64 (n_tasks or 1, n_classes), rows sum to 1; None: to be learned.
        n_workers: how many workers, those without answers included.
        order: int64 (n,): row of the caller's arrays behind each answer.
    """

    task_start: I64
    worker: npt.NDArray[np.int32]
    label: npt.NDArray[np.int32]
    weight: F64
    support: F64
    gold: I64
    prior: F64 | None
    n_workers: int
    order: I64

    @property
    def n_tasks(self) -> int:
        """How many tasks, those without answers included."""
        return len(self.task_start) - 1

    @property
    def n_labels(self) -> int:
        """Size of the alphabet that workers answer in."""
        return int(self.support.shape[0])

    @property
    def n_classes(self) -> int:
        """Size of the set that the truth is in."""
        return int(self.support.shape[1])

    @property
    def answer_count(self) -> npt.NDArray[np.int64]:
        """Answers of each task, int64 (n_tasks,)."""
        return np.diff(self.task_start)

    def task(self) -> I64:
        """Task of each answer, int64 (n,)."""
        return np.repeat(np.arange(self.n_tasks), self.answer_count)

    def votes(self) -> F64:
        """Summed weight for each class, float64 (n_tasks, n_classes)."""
        by_label = self.by_task(self.label, self.n_labels)
        return np.asarray(by_label @ self.support)

    def by_task(self, column: Array, n_columns: int) -> Any:
        """Sparse (n_tasks, n_columns) matrix holding each answer's weight at its column."""
        return self._rows(slice(0, self.n_tasks), column, n_columns)

    def _rows(self, tasks: slice, column: Array, n_columns: int) -> Any:
        starts = self.task_start[tasks.start : tasks.stop + 1]
        answers = slice(int(starts[0]), int(starts[-1]))
        matrix = sparse.csr_array((len(starts) - 1, n_columns), dtype=np.float64)
        # Both of one type: SciPy converts them for each product when one is wider.
        index = sparse.get_index_dtype(maxval=max(answers.stop - answers.start, n_columns))
        matrix.data = self.weight[answers]
        matrix.indices = column[answers].astype(index, copy=False)
        matrix.indptr = (starts - starts[0]).astype(index)
        return matrix

    def in_parts(self, column: Array, n_columns: int) -> list[tuple[slice, Any]]:
        """Consecutive tasks and their rows of `by_task`, for a thread each.

        How many there are depends on the answers alone, and not on the machine: what is summed
        over the parts stays the same to the last bit.
        """
        count = 1 if len(self.weight) < _ALONE_ANSWERS else _PARTS
        reached = np.linspace(0, len(self.weight), count + 1)
        edges = np.searchsorted(self.task_start, reached)
        edges[0], edges[-1] = 0, self.n_tasks
        tasks = [slice(first, last) for first, last in pairwise(edges.tolist())]
        return [(part, self._rows(part, column, n_columns)) for part in tasks]

    def chunks(self) -> Iterator[tuple[slice, slice]]:
        """(tasks, answers) of consecutive pieces small enough to keep one row per answer dense."""
        first = 0
        while first < self.n_tasks:
            reach = self.task_start[first] + _CHUNK_ANSWERS
            last = int(np.searchsorted(self.task_start, reach, side="right")) - 1
            last = min(max(last, first + 1), self.n_tasks)
            yield (
                slice(first, last),
                slice(int(self.task_start[first]), int(self.task_start[last])),
            )
            first = last

    def fix(self, posterior: F64, gold: I64 | None = None) -> F64:
        """The posterior (n_tasks, n_classes) with one-hot rows where the truth is known."""
        gold = self.gold if gold is None else gold
        known = np.flatnonzero(gold != UNKNOWN)
        if len(known):
            posterior[known] = 0.0
            posterior[known, gold[known]] = 1.0
        return posterior


def tabulate(
    task: npt.ArrayLike,
    worker: npt.ArrayLike,
    label: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
    gold: npt.ArrayLike | None = None,
    prior: npt.ArrayLike | None = None,
    support: npt.ArrayLike | None = None,
    n_tasks: int | None = None,
    n_workers: int | None = None,
    n_classes: int | None = None,
) -> Answers:
    """Check coordinate arrays and order them by task; answers of weight 0 are left out.

    Args:
        task, worker, label: integer codes from 0, (n,) each.
        weight: (n,) in [0, 1]; None: all 1.
        gold: (n_tasks,) class codes, UNKNOWN (-1) where not known.
        prior: (n_classes,) or (n_tasks, n_classes) class probabilities.
        support: (n_labels, n_classes) class weights of each label; None: label k says class k.
        n_tasks, n_workers, n_classes: sizes; None: as many as the codes need.

    Raises:
        InvalidArgument: FIELD_REQUIRED without answers and without n_tasks and n_classes;
            COLUMN_LENGTH_MISMATCH; FIELD_OUT_OF_RANGE for a code, weight or probability.
    """
    columns = {
        name: _codes(name, values)
        for name, values in (("task", task), ("worker", worker), ("label", label))
    }
    count = len(columns["task"])
    for name, column in columns.items():
        if len(column) != count:
            raise InvalidArgument(
                "COLUMN_LENGTH_MISMATCH",
                f"{name} has {len(column)} rows, task has {count}",
                field=name,
            )
    says = _support(support, columns["label"], n_classes)
    sizes = {
        "task": _size("task", columns["task"], n_tasks),
        "worker": _size("worker", columns["worker"], n_workers),
        "label": _size("label", columns["label"], says.shape[0]),
    }
    if not says.shape[1]:
        raise InvalidArgument("FIELD_REQUIRED", "label: no answer and no n_classes", field="label")
    weights = _weights(weight, count)
    kept = np.flatnonzero(weights > 0)
    order = kept[np.argsort(columns["task"][kept], kind="stable")]
    per_task = np.bincount(columns["task"][kept], minlength=sizes["task"])
    return Answers(
        task_start=np.concatenate(([0], np.cumsum(per_task))).astype(np.int64),
        worker=columns["worker"][order].astype(np.int32),
        label=columns["label"][order].astype(np.int32),
        weight=weights[order],
        support=says,
        gold=_gold(gold, sizes["task"], says.shape[1]),
        prior=_prior(prior, sizes["task"], says.shape[1]),
        n_workers=sizes["worker"],
        order=order,
    )


def _codes(name: str, values: npt.ArrayLike) -> Array:
    column = np.asarray(values)
    if column.ndim != 1 or (column.dtype.kind not in "iu" and len(column)):
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE", f"{name} must be a column of integer codes", field=name
        )
    if len(column) and int(column.min()) < 0:
        raise InvalidArgument("FIELD_OUT_OF_RANGE", f"{name} holds a negative code", field=name)
    return column if len(column) else column.astype(np.int64)


def _size(name: str, codes: Array, given: int | None) -> int:
    needed = int(codes.max()) + 1 if len(codes) else 0
    if given is not None and given < needed:
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE", f"{name} holds code {needed - 1}, there are {given}", field=name
        )
    return needed if given is None else given


def _weights(weight: npt.ArrayLike | None, count: int) -> F64:
    if weight is None:
        return np.ones(count)
    weights = np.asarray(weight, dtype=np.float64)
    if weights.shape != (count,):
        raise InvalidArgument(
            "COLUMN_LENGTH_MISMATCH", f"weight must have {count} rows", field="weight"
        )
    if not np.all((weights >= 0) & (weights <= 1)):
        raise InvalidArgument("FIELD_OUT_OF_RANGE", "weight must be in [0, 1]", field="weight")
    return weights


def _support(support: npt.ArrayLike | None, label: Array, n_classes: int | None) -> F64:
    if support is None:
        size = int(label.max()) + 1 if len(label) else 0
        return np.eye(size if n_classes is None else n_classes)
    says = np.asarray(support, dtype=np.float64)
    if says.ndim != 2 or (n_classes is not None and says.shape[1] != n_classes):
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE", "support must be (n_labels, n_classes)", field="support"
        )
    total = says.sum(axis=1, keepdims=True)
    if not np.all(np.isfinite(says)) or says.min(initial=0) < 0 or total.min(initial=1) <= 0:
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE", "support must be positive for some class", field="support"
        )
    return np.asarray(says / total)


def _gold(gold: npt.ArrayLike | None, n_tasks: int, n_classes: int) -> I64:
    if gold is None:
        return np.full(n_tasks, UNKNOWN, dtype=np.int64)
    known = np.asarray(gold)
    if known.shape != (n_tasks,):
        raise InvalidArgument(
            "COLUMN_LENGTH_MISMATCH", f"gold must have {n_tasks} rows", field="gold"
        )
    if len(known) and (
        known.dtype.kind not in "iu" or known.min() < UNKNOWN or known.max() >= n_classes
    ):
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE", "gold must be a class code, or -1 where unknown", field="gold"
        )
    return known.astype(np.int64)


def _prior(prior: npt.ArrayLike | None, n_tasks: int, n_classes: int) -> F64 | None:
    if prior is None:
        return None
    given = np.atleast_2d(np.asarray(prior, dtype=np.float64))
    if given.shape not in ((1, n_classes), (n_tasks, n_classes)):
        raise InvalidArgument(
            "COLUMN_LENGTH_MISMATCH", "prior must be (n_classes,) or (n_tasks, n_classes)",
            field="prior",
        )  # fmt: skip
    if not np.all(np.isfinite(given)) or given.min(initial=0) < 0 or not np.all(given.sum(1) > 0):
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE", "prior must be positive for some class", field="prior"
        )
    floored = np.maximum(given, 1e-12)
    return np.asarray(floored / floored.sum(axis=1, keepdims=True))

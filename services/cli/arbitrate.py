"""Truth inference on a file of (task, worker, label) rows."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from services.arbitration.truth import UNKNOWN, LabelArbiter, tabulate
from services.common.errors import InvalidArgument

I64 = npt.NDArray[np.int64]
DECIMALS = 6
NAMED_REJECTS = 1000
"""Rejected rows named at most in a summary; all are counted."""


@dataclass
class Rejects:
    """Rows that cannot be used: all counted, the first of them as (file, line, field, reason)."""

    count: int = 0
    rows: list[tuple[str, int, str, str]] = field(default_factory=list)

    def add(self, file: str, lines: I64, name: str, reason: str) -> None:
        """Count rows and name as many as there is room for."""
        self.count += len(lines)
        room = NAMED_REJECTS - len(self.rows)
        self.rows += [(file, int(line), name, reason) for line in lines[: max(room, 0)]]


@dataclass(frozen=True)
class Summary:
    """What was read and found.

    Attributes:
        answers: used; tasks, workers, classes: distinct in them.
        gold: tasks whose truth was given.
        rejected: rows left out; rejects: the first of them, (file, line, field, reason).
        model_weights: weight of each posterior in the answer given.
        iterations: EM iterations.
    """

    answers: int
    tasks: int
    workers: int
    classes: int
    gold: int
    rejected: int
    rejects: list[tuple[str, int, str, str]]
    model_weights: dict[str, float]
    iterations: int


def arbitrate_file(
    answers: Path, out: Path, workers: Path | None = None, gold: Path | None = None
) -> Summary:
    """Infer the truth of every task of a CSV, CSV.gz or Parquet file of answers.

    Writes `task,label,probability` and one `p_<class>` a class, tasks in order of first
    appearance; and to `workers` `worker,answers,accuracy,accuracy_low,accuracy_high` (95 %).
    A row without task, worker or label, a row of the wrong width, and a second answer of a worker
    to a task are rejected. Classes are the labels of answers and gold, sorted as text.

    Args:
        gold: file with columns task and label; tasks that nobody answered are rejected.

    Raises:
        InvalidArgument: FILE_UNREADABLE, COLUMN_MISSING, or FIELD_REQUIRED where no row is usable.
    """
    rejects = Rejects()
    table, lines = _usable(answers, ("task", "worker", "label"), rejects)
    (task, tasks), (worker, worker_names), (label, labels) = (
        _coded(table[name]) for name in ("task", "worker", "label")
    )
    first = _first_of(task * len(worker_names) + worker)
    rejects.add(answers.name, lines[~first], "worker", "second answer of the worker to the task")
    known = _gold_labels(gold, tasks, rejects) if gold is not None else {}
    classes = sorted({*labels, *known.values()})
    code = {name: at for at, name in enumerate(classes)}
    truth = np.full(len(tasks), UNKNOWN, dtype=np.int64)
    truth[list(known)] = [code[name] for name in known.values()]
    meaning = np.array([code[name] for name in labels], dtype=np.int64)
    found = LabelArbiter().fit_answers(
        tabulate(
            task[first], worker[first], meaning[label[first]], gold=truth,
            n_tasks=len(tasks), n_workers=len(worker_names), n_classes=len(classes),
        )
    )  # fmt: skip
    _write(out, _posterior_table(found.posterior_, tasks, classes))
    if workers is not None:
        _write(workers, _worker_table(found, worker_names))
    return Summary(
        answers=int(first.sum()), tasks=len(tasks), workers=len(worker_names),
        classes=len(classes), gold=len(known), rejected=rejects.count, rejects=rejects.rows,
        model_weights=found.model_weights_, iterations=found.n_iter_,
    )  # fmt: skip


def _read(path: Path, names: tuple[str, ...], rejects: Rejects) -> tuple[pa.Table, I64]:
    """The named columns as text and the line of each row."""
    ragged: list[int] = []

    def skip(row: Any) -> str:
        ragged.append(row.number or 0)
        return "skip"

    try:
        if path.suffix == ".parquet":
            table = pyarrow.parquet.read_table(path)
            table.validate(full=True)  # it may hold texts that are no UTF-8
        else:
            # One thread, so that a row of the wrong width can be named by its line.
            table = pyarrow.csv.read_csv(
                path,
                read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=16 << 20),
                parse_options=pyarrow.csv.ParseOptions(
                    newlines_in_values=True, invalid_row_handler=skip
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string())
                ),
            )
        table = table.rename_columns([name.strip().lower() for name in table.column_names])
        for name in names:
            if name not in table.column_names:
                raise InvalidArgument(
                    "COLUMN_MISSING",
                    f"{path.name} has no column {name!r}",
                    file=path.name,
                    column=name,
                )
        table = pa.table([_text(table[name]) for name in names], list(names))
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        cause = str(error).splitlines()[0][:200]
        raise InvalidArgument(
            "FILE_UNREADABLE", f"cannot read {path.name}: {cause}", file=path.name, cause=cause
        ) from error
    bad = np.array(sorted(ragged), dtype=np.int64)
    lines = np.arange(2, 2 + len(table) + len(bad), dtype=np.int64)
    lines = lines[~np.isin(lines, bad)][: len(table)]
    rejects.add(path.name, bad, "row", "wrong number of fields")
    return table, lines


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.utf8_trim_whitespace(pc.fill_null(pc.cast(column, pa.string()), ""))


def _usable(path: Path, names: tuple[str, ...], rejects: Rejects) -> tuple[pa.Table, I64]:
    """Rows with every named column filled; the others are rejected.

    Raises:
        InvalidArgument: FIELD_REQUIRED when none is left.
    """
    table, lines = _read(path, names, rejects)
    filled = np.ones(len(table), dtype=np.bool_)
    for name in names:
        empty = np.asarray(pc.equal(table[name], ""), dtype=np.bool_)
        rejects.add(path.name, lines[empty & filled], name, "empty")
        filled &= ~empty
    if not filled.any():
        raise InvalidArgument(
            "FIELD_REQUIRED", f"{path.name} has no usable row", file=path.name, field="label"
        )
    return (table if filled.all() else table.filter(pa.array(filled))), lines[filled]


def _coded(column: pa.ChunkedArray) -> tuple[I64, list[str]]:
    """Codes of the values in order of first appearance, and those values."""
    coded = column.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.unify_dictionaries().combine_chunks()
    return np.asarray(coded.indices, dtype=np.int64), coded.dictionary.to_pylist()


def _first_of(key: I64) -> npt.NDArray[np.bool_]:
    """Whether each key appears for the first time."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    first = np.ones(len(key), dtype=np.bool_)
    first[order[1:]] = ordered[1:] != ordered[:-1]
    return first


def _gold_labels(path: Path, tasks: list[str], rejects: Rejects) -> dict[int, str]:
    """Truth by task code."""
    table, lines = _usable(path, ("task", "label"), rejects)
    at = {name: code for code, name in enumerate(tasks)}
    known: dict[int, str] = {}
    rows = zip(table["task"].to_pylist(), table["label"].to_pylist(), lines, strict=True)
    for name, label, line in rows:
        code = at.get(name)
        if code is None:
            rejects.add(path.name, np.array([line]), "task", "nobody answered the task")
        elif known.setdefault(code, label) != label:
            rejects.add(path.name, np.array([line]), "label", "a second truth for the task")
    return known


def _posterior_table(
    posterior: npt.NDArray[np.float64], tasks: list[str], classes: list[str]
) -> pa.Table:
    best = posterior.argmax(axis=1)
    rounded = np.round(posterior, DECIMALS)
    columns: dict[str, Any] = {
        "task": pa.array(tasks, pa.string()),
        "label": pa.array(classes, pa.string()).take(pa.array(best)),
        "probability": rounded[np.arange(len(best)), best],
    }
    columns |= {f"p_{name}": rounded[:, at] for at, name in enumerate(classes)}
    return pa.table(columns)


def _worker_table(found: LabelArbiter, names: list[str]) -> pa.Table:
    return pa.table(
        {
            "worker": pa.array(names, pa.string()),
            "answers": found.worker_answers_.astype(np.int64),
            "accuracy": np.round(found.worker_accuracy_, DECIMALS),
            "accuracy_low": np.round(found.worker_accuracy_interval_[:, 0], DECIMALS),
            "accuracy_high": np.round(found.worker_accuracy_interval_[:, 1], DECIMALS),
        }
    )


def _write(path: Path, table: pa.Table) -> None:
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
        return
    options = pyarrow.csv.WriteOptions(quoting_style="needed")
    with pa.output_stream(str(path), compression="detect") as sink:
        pyarrow.csv.write_csv(table, sink, options)

"""`zhengming model`: learn a label from any table file, and apply what was learned to another."""

import hashlib
import platform
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import scipy
import sklearn

from services.common.errors import InvalidArgument
from services.scoring.tables import card
from services.scoring.tables.columns import encode_label, read_classes
from services.scoring.tables.estimator import TableClassifier
from services.scoring.tables.features import Table
from services.scoring.tables.graph import Edges


def fit_file(
    train: Path,
    id_column: str,
    label_column: str,
    out: Path,
    edges: Path | None = None,
    seed: int = 7,
    positive: str | None = None,
) -> dict[str, Any]:
    """Learn from a CSV, CSV.gz or Parquet table, write the model to a folder, return its card.

    Raises:
        InvalidArgument: FILE_UNREADABLE, COLUMN_MISSING, FIELD_REQUIRED, FIELD_OUT_OF_RANGE,
            TRAINING_SET_TOO_SMALL.
    """
    read = read_texts(train)
    ids = _ids(read, id_column, train)
    label_texts = _column(read, label_column, train)
    classes = read_classes(label_texts, positive)
    texts = {
        name: read[name] for name in read.column_names if name not in (id_column, label_column)
    }
    model = TableClassifier(seed=seed).fit(
        Table(ids, texts),
        encode_label(label_texts, classes),
        None if edges is None else read_edges(edges),
    )
    digests = {"train": digest(train)} | ({} if edges is None else {"edges": digest(edges)})
    return card.save(
        model,
        out,
        {
            "id_column": id_column,
            "label_column": label_column,
            "classes": list(classes),
            "training_window": None,
            "data_sha256": digests,
            "versions": {
                "python": platform.python_version(),
                "lightgbm": lightgbm.__version__,
                "numpy": np.__version__,
                "scipy": scipy.__version__,
                "scikit-learn": sklearn.__version__,
                "pyarrow": pa.__version__,
            },
        },
    )


def predict_file(folder: Path, test: Path, out: Path, edges: Path | None = None) -> int:
    """Write the id column and `probability` of every row, in order; return the rows written.

    Raises:
        NotFound: MODEL_NOT_FOUND.
        InvalidArgument: FILE_UNREADABLE, COLUMN_MISSING, FIELD_REQUIRED, FIELD_OUT_OF_RANGE,
            MODEL_FEATURES_MISMATCH.
    """
    model, about = card.load(folder)
    read = read_texts(test)
    ids = _ids(read, about["id_column"], test)
    # Columns the model does not know, the label among them, are of no concern to it.
    texts = {name: read[name] for name in read.column_names}
    probability = model.predict(Table(ids, texts), None if edges is None else read_edges(edges))
    written = pa.table({about["id_column"]: ids, "probability": probability})
    write_table(written, out)
    return len(ids)


def read_texts(path: Path) -> pa.Table:
    """A CSV, CSV.gz or Parquet file whose columns are all text.

    Raises:
        InvalidArgument: FILE_UNREADABLE; FIELD_OUT_OF_RANGE for a column name given twice.
    """
    try:
        if path.suffix == ".parquet":
            table = pyarrow.parquet.read_table(path)
            table.validate(full=True)  # it may hold texts that are no UTF-8
            table = pa.table([pc.cast(c, pa.string()) for c in table.columns], table.column_names)
        else:
            table = _read_csv(path)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise InvalidArgument("FILE_UNREADABLE", f"{path}: {error}", file=path) from error
    names = table.column_names
    if len(set(names)) < len(names):
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE", f"{path}: a column name is given twice", file=path
        )
    return table


def read_edges(path: Path) -> Edges:
    """Two id columns and an optional positive weight, whatever their names.

    Raises:
        InvalidArgument: FILE_UNREADABLE, COLUMN_MISSING, FIELD_REQUIRED, FIELD_OUT_OF_RANGE.
    """
    table = read_texts(path)
    if table.num_columns < 2:
        raise InvalidArgument("COLUMN_MISSING", f"{path}: edges need two id columns", file=path)
    ends = [_trimmed(table.column(place)) for place in (0, 1)]
    for place, end in enumerate(ends):
        _require_all(end, table.column_names[place], path)
    weight = np.ones(len(table))
    if table.num_columns > 2:
        name = table.column_names[2]
        try:
            weight = np.array(pc.cast(_trimmed(table.column(2)), pa.float64()).to_numpy(False))
        except pa.ArrowInvalid as error:
            raise InvalidArgument(
                "FIELD_OUT_OF_RANGE",
                f"{path}: {name} must be a number: {error}",
                column=name,
            ) from error
        wrong = np.flatnonzero(~(np.isfinite(weight) & (weight > 0)))
        if len(wrong):
            raise InvalidArgument(
                "FIELD_OUT_OF_RANGE",
                f"{path}, line {wrong[0] + 2}: {name} must be a number above 0",
                column=name,
                line=int(wrong[0]) + 2,
            )
    return Edges(ends[0], ends[1], weight)


def write_table(table: pa.Table, path: Path) -> None:
    """Write Parquet or CSV (gzip by its ending)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
        return
    options = pyarrow.csv.WriteOptions(quoting_style="needed", quoting_header="none")
    compression = "gzip" if path.suffix == ".gz" else None
    with pa.output_stream(str(path), compression=compression) as stream:
        pyarrow.csv.write_csv(table, stream, options)


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_csv(path: Path) -> pa.Table:
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    with pyarrow.csv.open_csv(path, parse_options=parse) as reader:
        names = reader.schema.names
    # Every column is text here, so that an id such as 007 stays what it is.
    convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    return pyarrow.csv.read_csv(path, parse_options=parse, convert_options=convert)


def _column(table: pa.Table, name: str, path: Path) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise InvalidArgument("COLUMN_MISSING", f"{path} lacks the column {name}", columns=name)
    return table[name]


def _ids(table: pa.Table, name: str, path: Path) -> list[str]:
    ids = _trimmed(_column(table, name, path))
    _require_all(ids, name, path)
    return [str(text) for text in ids.to_pylist()]


def _trimmed(values: pa.ChunkedArray) -> pa.Array:
    joined = values.combine_chunks()
    return pc.utf8_trim_whitespace(joined)


def _require_all(values: pa.Array, name: str, path: Path) -> None:
    empty = pc.fill_null(pc.equal(values, ""), True).to_numpy(False)
    if empty.any():
        line = int(np.flatnonzero(empty)[0]) + 2
        raise InvalidArgument(
            "FIELD_REQUIRED", f"{path}, line {line}: {name} is empty", column=name, line=line
        )

"""What a table's text columns mean: numbers, categories, missing values, the label's classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.common.errors import InvalidArgument

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Texts = Mapping[str, pa.Array | pa.ChunkedArray]

MISSING = ("", "na", "n/a", "nan", "null", "none")
"""Texts that stand for no value, compared in lower case without surrounding spaces."""

LEVEL_ROWS = 3
"""A text that fewer training rows hold is no category: nothing could be learned from it."""

LEVEL_COUNT = 255
"""At most this many categories a column, the most frequent; the others are missing."""

_YES = ("1", "true", "yes", "y", "t")


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        name: as in the header.
        levels: the categories in the order of their codes; empty for a column of numbers.
        is_category: whether values are codes of `levels` rather than quantities.
    """

    name: str
    is_category: bool
    levels: tuple[str, ...] = ()


def plan_columns(texts: Texts) -> tuple[Column, ...]:
    """Tell numbers from categories: a column is numeric if every value present reads as one."""
    columns = []
    for name, values in texts.items():
        present = _present(values)
        if _as_numbers(present) is not None:
            columns.append(Column(name, is_category=False))
            continue
        counted = pc.value_counts(present.drop_null())
        counts = [(-item["counts"], item["values"]) for item in counted.to_pylist()]
        levels = [text for count, text in sorted(counts) if -count >= LEVEL_ROWS][:LEVEL_COUNT]
        columns.append(Column(name, is_category=True, levels=tuple(levels)))
    return tuple(columns)


def encode(columns: Sequence[Column], texts: Texts, row_count: int) -> Floats:
    """Rows as floats, shape (row_count, len(columns)); NaN where missing or an unseen category.

    Raises:
        InvalidArgument: COLUMN_MISSING names the columns that `texts` lacks;
            FIELD_OUT_OF_RANGE a text in a column that the model knows as numbers.
    """
    absent = [column.name for column in columns if column.name not in texts]
    if absent:
        raise InvalidArgument(
            "COLUMN_MISSING",
            f"the table lacks the column(s) {', '.join(absent)} that the model was fitted on",
            columns=",".join(absent),
        )
    matrix = np.full((row_count, len(columns)), np.nan)
    for index, column in enumerate(columns):
        present = _present(texts[column.name])
        if column.is_category:
            codes = pc.index_in(present, value_set=pa.array(column.levels, pa.string()))
            matrix[:, index] = _floats(pc.cast(codes, pa.float64()))
            continue
        numbers = _as_numbers(present)
        if numbers is None:
            line = 2 + next(
                row for row in range(len(present)) if _as_numbers(present.slice(row, 1)) is None
            )
            raise InvalidArgument(
                "FIELD_OUT_OF_RANGE",
                f"column {column.name}, line {line}: a text where the model learned numbers",
                column=column.name,
                line=line,
            )
        matrix[:, index] = numbers
    return matrix


def read_classes(label: pa.Array | pa.ChunkedArray, positive: str | None) -> tuple[str, str]:
    """The label's two classes, the one whose probability is asked for last.

    Without `positive` it is the larger of two numbers, a word for yes, or else the rarer class.

    Raises:
        InvalidArgument: FIELD_OUT_OF_RANGE where there are not exactly two classes, or
            `positive` is none of them.
    """
    counted = pc.value_counts(_present(label).drop_null())
    counts = {item["values"]: item["counts"] for item in counted.to_pylist()}
    if len(counts) != 2:
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE",
            f"the label column must hold exactly two classes, not {len(counts)}",
            class_count=len(counts),
        )
    if positive is not None and positive not in counts:
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE", f"no row has the label {positive}", positive=positive
        )
    chosen = positive if positive is not None else _likely_positive(counts)
    other = next(name for name in counts if name != chosen)
    return other, chosen


def encode_label(label: pa.Array | pa.ChunkedArray, classes: tuple[str, str]) -> Floats:
    """0.0 for the first class, 1.0 for the second, NaN where the label is missing."""
    codes = pc.index_in(_present(label), value_set=pa.array(classes, pa.string()))
    return _floats(pc.cast(codes, pa.float64()))


def _likely_positive(counts: Mapping[str, int]) -> str:
    try:
        return max(counts, key=float)
    except ValueError:
        pass
    for name in counts:
        if name.lower() in _YES:
            return name
    return min(sorted(counts), key=lambda name: counts[name])


def _present(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Trimmed texts, null where missing."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    trimmed = pc.utf8_trim_whitespace(pc.cast(values, pa.string()))
    missing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(MISSING))
    return pc.if_else(missing, pa.scalar(None, pa.string()), trimmed)


def _as_numbers(present: pa.Array) -> Floats | None:
    """The numbers, NaN where null or infinite; None if any text is not a number."""
    try:
        numbers = _floats(pc.cast(present, pa.float64()))
    except pa.ArrowInvalid:
        return None
    numbers[np.isinf(numbers)] = np.nan
    return numbers


def _floats(values: pa.Array) -> Floats:
    return np.array(values.to_numpy(zero_copy_only=False), dtype=np.float64)

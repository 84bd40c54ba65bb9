"""Arrow columns from numpy: texts picked by index, times as text."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.simulator.window import UTC_OFFSET_S

Column: TypeAlias = "pa.Array[Any]"  # quoted: the class is generic in its stubs only


def texts(values: Sequence[str]) -> Column:
    """A column of texts."""
    return pa.array(values, type=pa.string())


def picked(values: "Sequence[str] | Column", index: NDArray[Any]) -> Column:
    """The texts at the given positions."""
    column: Any = values if isinstance(values, pa.Array) else texts(values)
    taken: Column = column.take(pa.array(index, type=pa.int64()))
    return taken


def iso_times(times_s: NDArray[np.int64]) -> Column:
    """Epoch seconds as ISO 8601 with the offset +08:00; a negative time becomes empty text."""
    local: Any = pa.array(times_s + UTC_OFFSET_S, type=pa.int64()).cast(pa.timestamp("s"))
    text: Any = pc.strftime(local, format="%Y-%m-%dT%H:%M:%S")
    zone: Any = pa.scalar("+08:00")
    joiner: Any = pa.scalar("")
    whole: Any = pc.binary_join_element_wise(text, zone, joiner)
    known: Any = pa.array(times_s >= 0)
    written: Column = pc.if_else(known, whole, joiner)
    return written

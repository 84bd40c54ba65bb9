"""Callees who refused a caller, and since when: what later calls to them are counted against."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.cli.cdr.times import INVALID, read_times
from services.common.numbering import Cause, parse_column
from services.common.places import place

I64 = npt.NDArray[np.int64]


class Refusals:
    """The earliest refusal of each caller by each callee; some 30 bytes each, in memory."""

    def __init__(self, number: I64, callee: I64, since_ms: I64) -> None:
        """Take refusals in any order, int64 (n,) each."""
        self._callers, caller_at = np.unique(number, return_inverse=True)
        self._callees, callee_at = np.unique(callee, return_inverse=True)
        pairs = caller_at * len(self._callees) + callee_at
        order = np.lexsort((since_ms, pairs))
        self._pairs, first = np.unique(pairs[order], return_index=True)
        self._since_ms = since_ms[order][first]

    def hold(self, caller: I64, callee: I64, started_ms: I64) -> npt.NDArray[np.bool_]:
        """Whether each call began after the callee had refused the caller, (n,)."""
        result = np.zeros(len(caller), dtype=bool)
        if not len(self._pairs):
            return result
        caller_at, known = place(self._callers, caller)
        rows = np.flatnonzero(known)
        callee_at, known = place(self._callees, callee[rows])
        rows, callee_at = rows[known], callee_at[known]
        at, known = place(self._pairs, caller_at[rows] * len(self._callees) + callee_at)
        rows, at = rows[known], at[known]
        result[rows] = self._since_ms[at] < started_ms[rows]
        return result


def read_refusals(
    tables: Iterable[tuple[int, pa.Table]],
) -> tuple[Refusals, list[tuple[int, str, str]]]:
    """Refusals of tables with number, callee and occurred_at, and the line, field and reason of
    those that cannot be read. Here `callee` is the number that refused: nothing leaves the carrier.
    """
    parts: list[tuple[I64, I64, I64]] = []
    rejected: list[tuple[int, str, str]] = []
    for line, table in tables:
        number, callee = parse_column(table["number"]), parse_column(table["callee"])
        since = read_times(table["occurred_at"].combine_chunks())
        good = (number.keys != 0) & (callee.keys != 0) & (since != INVALID)
        for row in np.flatnonzero(~good).tolist():
            if number.keys[row] == 0:
                why = ("number", f"NUMBER_INVALID: {Cause(number.causes[row]).name}")
            elif callee.keys[row] == 0:
                why = ("callee", f"NUMBER_INVALID: {Cause(callee.causes[row]).name}")
            else:
                why = ("occurred_at", "TIME_INVALID")
            rejected.append((line + row, *why))
        parts.append((number.keys[good], callee.keys[good], since[good]))
    empty = np.empty(0, dtype=np.int64)
    columns = zip(*parts, strict=True) if parts else ([empty], [empty], [empty])
    return Refusals(*(np.concatenate(list(column)) for column in columns)), rejected

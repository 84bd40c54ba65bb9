"""Call records as a carrier writes them, read into fixed rows; the bad ones are named."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.cli.cdr.refusals import Refusals
from services.cli.cdr.times import CHINA_MS, DAY_MS, INVALID, read_times
from services.cli.cdr.words import PRIME, hashed
from services.common.errors import InvalidArgument
from services.common.numbering import Cause, Kind, kinds_of, parse_column, places_of

REQUIRED = ("caller", "callee", "started_at")
ANSWERS = ("answered", "answered_at", "duration_s")
"""One of these must be there: it says whether the call was answered."""

CALL = np.dtype(
    [
        ("number", "i8"), ("other", "i8"), ("started_ms", "i8"), ("imei", "u8"), ("cell", "u8"),
        ("area", "u8"), ("talk_s", "i4"), ("flags", "u1"),
    ]
)  # fmt: skip
"""A call from its caller's side; `other` is the callee; texts are hashed, 0: not told."""
RECEIVED = np.dtype([("number", "i8"), ("other", "i8"), ("started_ms", "i8"), ("flags", "u1")])
"""The same call from the callee's side; `other` is the caller."""

ANSWERED, SHORT, RING_ONLY, NIGHT, INTERNATIONAL, FAILED, REFUSED = (1 << i for i in range(7))
"""Flags of a CALL."""
COUNTS_IN, COUNTS_CROWD = 1, 2
"""Flags of a RECEIVED: a call received; one that may be part of a crowd's on its callee."""

SHORT_S = 10
RING_S = 3.5
"""Unanswered after less ringing is given up by the caller, where the record does not say who ended
the call (china.md section 5: ring of 1.5 to 3.5 s as the split, S60)."""
NIGHT_FROM_MS, NIGHT_UNTIL_MS = 21 * 3_600_000, 8 * 3_600_000
MAX_S = 10 * 86_400

_SERVICE_KINDS = (
    Kind.CN_400, Kind.CN_800, Kind.CN_SHORT_95, Kind.CN_SHORT_96, Kind.CN_SHORT_10,
    Kind.CN_SHORT_11, Kind.CN_SHORT_12,
)  # fmt: skip
"""Callees on whom a crowd of callers is ordinary."""
_IS_SERVICE = np.isin(np.arange(256), _SERVICE_KINDS)
_CHOICES = {
    "direction": ("OUT", "IN"),
    "released_by": ("CALLER", "CALLEE", "NETWORK"),
    "trunk": ("INTERNATIONAL", "DOMESTIC"),
    "auth": ("FAILED", "PASSED"),
    "answered": ("1", "0"),
}
_SAME = {"TRUE": "1", "YES": "1", "Y": "1", "FALSE": "0", "NO": "0", "N": "0"}

Bool = npt.NDArray[np.bool_]
Rejected = tuple[int, str, str]
"""Row, field and reason."""


@dataclass(frozen=True)
class Batch:
    """Rows of a table of records: CALL and RECEIVED, and what was rejected."""

    calls: npt.NDArray[Any]
    received: npt.NDArray[Any]
    rejected: list[Rejected]
    row_count: int


def check_columns(names: list[str], file: str) -> None:
    """Accept a file with these columns.

    Raises:
        InvalidArgument: COLUMN_MISSING.
    """
    missing = [name for name in REQUIRED if name not in names]
    if not missing and not set(ANSWERS) & set(names):
        missing = [" or ".join(ANSWERS)]
    if missing:
        raise InvalidArgument(
            "COLUMN_MISSING", f"{file} has no column {missing[0]!r}", file=file, column=missing[0]
        )


def read_records(table: pa.Table, refusals: Refusals) -> Batch:
    """Read a table of text columns."""
    columns = {name: _text(table[name]) for name in table.column_names}
    rows = _Rows(len(table))
    caller, callee = rows.numbers("caller", columns), rows.numbers("callee", columns)
    started = read_times(columns["started_at"])
    rows.refuse(started == INVALID, "started_at", "TIME_INVALID")
    choice = {name: rows.choices(name, columns) for name in _CHOICES}
    answered, talk_s = _talk(rows, columns, started, choice["answered"])
    ringing_s = rows.seconds("ringing_s", columns)
    abroad = choice["trunk"] == 1
    released = choice["released_by"]
    ring_only = ~answered & (
        (released == 1) | ((released == 0) & (ringing_s >= 0) & (ringing_s <= RING_S))
    )
    of_day_ms = (started + CHINA_MS) % DAY_MS
    night = (of_day_ms >= NIGHT_FROM_MS) | (of_day_ms < NIGHT_UNTIL_MS)
    flags = np.zeros(len(table), dtype=np.uint8)
    for flag, holds in (
        (ANSWERED, answered),
        (SHORT, answered & (talk_s < SHORT_S)),
        (RING_ONLY, ring_only),
        (NIGHT, night),
        (INTERNATIONAL, abroad),
        (FAILED, choice["auth"] == 1),
        (REFUSED, refusals.hold(caller, callee, started)),
    ):
        flags |= holds.astype(np.uint8) * np.uint8(flag)

    # A call from abroad has no originating record in the country.
    counts_out = rows.good & ((choice["direction"] != 2) | abroad)
    counts_in = rows.good & (choice["direction"] != 1)
    made = _rows(counts_out)
    calls = np.empty(int(counts_out.sum()), dtype=CALL)
    for name, column in (
        ("number", caller),
        ("other", callee),
        ("started_ms", started),
        ("imei", _hashed(columns.get("imei"), len(table))),
        ("cell", _hashed(columns.get("cell"), len(table))),
        ("area", _areas(columns.get("area"), callee)),
        ("talk_s", np.where(answered, np.rint(talk_s), 0)),
        ("flags", flags),
    ):
        calls[name] = column[made]
    crowd = counts_out & ~_IS_SERVICE[kinds_of(callee)]
    either = counts_in | crowd
    heard = _rows(either)
    received = np.empty(int(either.sum()), dtype=RECEIVED)
    for name, column in (
        ("number", callee),
        ("other", caller),
        ("started_ms", started),
        ("flags", counts_in * np.uint8(COUNTS_IN) + crowd * np.uint8(COUNTS_CROWD)),
    ):
        received[name] = column[heard]
    return Batch(calls, received, rows.rejected, len(table))


def _talk(
    rows: "_Rows", columns: dict[str, pa.Array], started: npt.NDArray[np.int64], said: Any
) -> tuple[Bool, npt.NDArray[np.float64]]:
    """Whether answered, and seconds talked, by what the record tells."""
    talk_s = rows.seconds("duration_s", columns)
    answered = talk_s > 0
    if "answered_at" in columns:
        empty = _empty(columns["answered_at"])
        at = read_times(columns["answered_at"])
        rows.refuse(~empty & ((at == INVALID) | (at < started)), "answered_at", "TIME_INVALID")
        answered = np.where(~empty, True, answered & (talk_s > 0))
        if "ended_at" in columns:
            ended = read_times(columns["ended_at"])
            open_end = _empty(columns["ended_at"])
            rows.refuse(~open_end & ~empty & (ended < at), "ended_at", "TIME_INVALID")
            talk_s = np.where((talk_s < 0) & ~empty & ~open_end, (ended - at) / 1000, talk_s)
    answered = np.where(said > 0, said == 1, answered)
    return answered.astype(bool), np.where(answered, np.maximum(talk_s, 0.0), 0.0)


class _Rows:
    """Which rows of a table are good so far, and why the others are not."""

    def __init__(self, count: int) -> None:
        self.good = np.ones(count, dtype=bool)
        self.rejected: list[Rejected] = []

    def refuse(self, bad: Bool, field: str, reason: str) -> None:
        """Reject rows; the first reason of a row holds."""
        fresh = bad & self.good
        if fresh.any():
            self.rejected += [(row, field, reason) for row in np.flatnonzero(fresh).tolist()]
            self.good &= ~bad

    def numbers(self, name: str, columns: dict[str, pa.Array]) -> npt.NDArray[np.int64]:
        """Keys of a column of numbers, 0 where rejected."""
        parsed = parse_column(columns[name])
        bad = np.flatnonzero((parsed.keys == 0) & self.good)
        self.rejected += [
            (row, name, f"NUMBER_INVALID: {Cause(parsed.causes[row]).name}") for row in bad.tolist()
        ]
        self.good[bad] = False
        return parsed.keys

    def choices(self, name: str, columns: dict[str, pa.Array]) -> npt.NDArray[np.int64]:
        """Place of each value in `_CHOICES`, from 1; 0 for an empty one, int64 (n,)."""
        if name not in columns:
            return np.zeros(len(self.good), dtype=np.int64)
        encoded = pc.dictionary_encode(columns[name])
        place = {"": 0, **{word: i for i, word in enumerate(_CHOICES[name], 1)}}
        words = [word.strip().upper() for word in encoded.dictionary.to_pylist()]
        of_word = np.array([place.get(_SAME.get(word, word), -1) for word in words], dtype=np.int64)
        found = of_word[encoded.indices.to_numpy()]
        self.refuse(found < 0, name, "FIELD_OUT_OF_RANGE: " + ", ".join(_CHOICES[name]))
        return found

    def seconds(self, name: str, columns: dict[str, pa.Array]) -> npt.NDArray[np.float64]:
        """Seconds, float64 (n,); -1 where not told."""
        if name not in columns:
            return np.full(len(self.good), -1.0)
        column = columns[name]
        empty = _empty(column)
        try:
            found = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            found = np.array([_number(text) for text in column.to_pylist()])
        found = np.where(empty, -1.0, found)
        outside = ~empty & ~((found >= 0) & (found <= MAX_S))
        self.refuse(outside, name, f"FIELD_OUT_OF_RANGE: 0 to {MAX_S} seconds")
        return np.where(outside, -1.0, found)


def _number(text: str) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return -1.0


def _rows(chosen: Bool) -> npt.NDArray[np.int64] | slice:
    """The chosen rows, of a table of which nearly always all are."""
    return slice(None) if chosen.all() else np.flatnonzero(chosen)


def _text(column: pa.ChunkedArray) -> pa.Array:
    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return pc.fill_null(whole, "") if whole.null_count else whole


def _empty(column: pa.Array) -> Bool:
    found: Bool = pc.equal(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
    return found


def _areas(column: pa.Array | None, callee: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Area of the callee: as told, or where its number was issued; 0: not known."""
    issued = (places_of(callee)[0].astype(np.int64) + 1).view(np.uint64) * PRIME
    if column is None:
        return issued
    told = _hashed(column, len(callee))
    return np.where(told > 0, told, issued)


def _hashed(column: pa.Array | None, count: int) -> npt.NDArray[np.uint64]:
    """A hash of each text, uint64 (n,); 0 where it is empty or the column is absent."""
    return np.zeros(count, dtype=np.uint64) if column is None else hashed(column)

"""Published rows packed into some thirty bytes each, and back. Pure.

What many rows share is kept once, in dictionaries, and named by a code of as few bytes as there are
entries; what differs from row to row is rounded to what is published of it (`rounded`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Columns = dict[str, npt.NDArray[Any]]

NAMES = (
    "number",
    "version",
    "category",
    "probability",
    "categories",
    "probabilities",
    "risk",
    "level",
    "state",
    "rule",
    "effective_sources",
    "mark_count",
    "former_mark_count",
    "first_mark_ms",
    "last_mark_ms",
    "reasons",
    "epoch",
    "update_ms",
    "model_version",
)
"""Columns of a published row."""

TOP = 5
"""Categories in a distribution."""
STEPS = 65_535
"""A probability or risk is published in steps of 1/65,535."""
SHARE_STEPS = 255
"""A share of a distribution, in steps of 1/255."""
SECOND_MS = 1000
"""Times of marks, in whole seconds."""
PROBABILITY_OF = np.divide(np.arange(STEPS + 1), STEPS, dtype=np.float64).astype(np.float32)
"""The probability of each step, float32."""
SHARE_OF = np.divide(np.arange(SHARE_STEPS + 1), SHARE_STEPS, dtype=np.float64).astype(np.float32)
_MAX_FLOAT16 = 65_504.0

WHAT = np.dtype(
    [
        ("category", "<u2"),
        ("level", "u1"),
        ("state", "u1"),
        ("epoch", "<u4"),
        ("former_mark_count", "<u4"),
    ]
)
"""What is said of a number, without how sure it is."""
WHY = np.dtype([("rule", "<u4"), ("reasons", "<u4")])
"""Why: places in the texts."""
ISSUE = np.dtype([("version", "<u8"), ("update_ms", "<i8"), ("model_version", "<u4")])
"""When and by which model: equal for all rows of a version."""


@dataclass(frozen=True)
class Packed:
    """Rows without their numbers, and their dictionaries.

    Attributes:
        rows: (n,) of `row_dtype`.
        what, why, issue: the dictionaries, of WHAT, WHY and ISSUE.
        kinds: uint16 (k, TOP), categories of the distributions.
        texts: rules, reasons and model versions.
    """

    rows: npt.NDArray[Any]
    what: npt.NDArray[Any]
    why: npt.NDArray[Any]
    issue: npt.NDArray[Any]
    kinds: npt.NDArray[np.uint16]
    texts: Sequence[str]


CODES = ("what", "why", "issue", "kinds")
"""Fields of a row that are places in a dictionary."""


def row_dtype(dictionaries: Mapping[str, npt.NDArray[Any]], marks: int) -> np.dtype[Any]:
    """A packed row with codes as wide as the dictionaries demand, and counts up to `marks`."""
    return np.dtype(
        [
            *((name, width(len(dictionaries[name]) - 1)) for name in CODES),
            ("mark_count", "<u2" if marks < 1 << 16 else "<u4"),
            ("probability", "<u2"),
            ("risk", "<u2"),
            ("effective_sources", "<f2"),
            ("first_mark_s", "<u4"),
            ("last_mark_s", "<u4"),
            ("shares", "u1", (TOP,)),
        ]
    )


def width(largest: int) -> str:
    """The smallest unsigned type that holds a value."""
    return next(t for t, bits in (("u1", 8), ("<u2", 16), ("<u4", 32)) if largest < 1 << bits)


def rounded(rows: Columns) -> Columns:
    """Rows with every value as it can be published; rounding twice changes nothing."""
    return rows | {
        "probability": PROBABILITY_OF[_steps(rows["probability"], STEPS)],
        "risk": PROBABILITY_OF[_steps(rows["risk"], STEPS)],
        "probabilities": SHARE_OF[_steps(rows["probabilities"], SHARE_STEPS)],
        "effective_sources": _half(rows["effective_sources"]).astype(np.float32),
        "first_mark_ms": _seconds(rows["first_mark_ms"]).astype(np.int64) * SECOND_MS,
        "last_mark_ms": _seconds(rows["last_mark_ms"]).astype(np.int64) * SECOND_MS,
    }


def pack(columns: Columns) -> Packed:
    """Pack columns by NAMES; see `rounded`."""
    count = len(columns["number"])
    texts = _Texts()
    what = np.zeros(count, dtype=WHAT)
    for name in ("category", "level", "state", "epoch", "former_mark_count"):
        what[name] = columns[name]
    issue = np.zeros(count, dtype=ISSUE)
    for name in ("version", "update_ms"):
        issue[name] = columns[name]
    issue["model_version"] = texts.codes(columns["model_version"])
    why = np.zeros(count, dtype=WHY)
    for name in ("rule", "reasons"):
        why[name] = texts.codes(columns[name])
    kinds = np.ascontiguousarray(columns["categories"], dtype="<u2").reshape(count, TOP)
    distinct, codes = {}, {}
    for name, values in (("what", what), ("why", why), ("issue", issue), ("kinds", kinds)):
        distinct[name], codes[name] = intern(values)
    marks = columns["mark_count"].astype(np.int64)
    rows = np.empty(count, dtype=row_dtype(distinct, int(marks.max(initial=0))))
    for name in codes:
        rows[name] = codes[name]
    rows["mark_count"] = marks
    rows["probability"] = _steps(columns["probability"], STEPS)
    rows["risk"] = _steps(columns["risk"], STEPS)
    rows["effective_sources"] = _half(columns["effective_sources"])
    rows["first_mark_s"] = _seconds(columns["first_mark_ms"])
    rows["last_mark_s"] = _seconds(columns["last_mark_ms"])
    rows["shares"] = _steps(columns["probabilities"], SHARE_STEPS).reshape(count, TOP)
    return Packed(
        rows, distinct["what"], distinct["why"], distinct["issue"], distinct["kinds"], texts.known
    )


def unpack(packed: Packed, rows: npt.NDArray[Any], names: Sequence[str]) -> Columns:
    """Columns of some of its rows; all NAMES but the number can be had."""
    columns: Columns = {}
    what, issue = packed.what[rows["what"]], packed.issue[rows["issue"]]
    for name in names:
        if name in WHAT.names:  # type: ignore[operator] # a structured type has names
            columns[name] = what[name]
        elif name in ("version", "update_ms"):
            columns[name] = issue[name]
        elif name == "model_version":
            columns[name] = _objects(packed.texts)[issue[name]]
        elif name in ("rule", "reasons"):
            columns[name] = _objects(packed.texts)[packed.why[name][rows["why"]]]
        elif name in ("probability", "risk"):
            columns[name] = PROBABILITY_OF[rows[name]]
        elif name == "probabilities":
            columns[name] = SHARE_OF[rows["shares"]]
        elif name == "categories":
            columns[name] = packed.kinds[rows["kinds"]]
        elif name == "effective_sources":
            columns[name] = rows[name].astype(np.float32)
        elif name == "mark_count":
            columns[name] = rows[name].astype(np.uint32)
        elif name in ("first_mark_ms", "last_mark_ms"):
            columns[name] = rows[name[:-2] + "s"].astype(np.int64) * SECOND_MS
    return columns


def intern(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Distinct rows of an array in order of appearance, and the place of each row among them."""
    if len(values) == 0:
        return values, np.zeros(0, dtype=np.int64)
    size = values.nbytes // len(values)
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    column = pa.Array.from_buffers(pa.binary(size), len(values), [None, buffer])
    encoded = column.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    content = b"".join(encoded.dictionary.to_pylist())
    distinct = np.frombuffer(content, dtype=values.dtype)
    return distinct.reshape(-1, *values.shape[1:]), codes


class _Texts:
    """Texts, each once."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self._at: dict[str, int] = {}

    def codes(self, column: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        encoded = pa.array(column, pa.string()).dictionary_encode()
        places = [self.code(text) for text in encoded.dictionary.to_pylist()]
        indices = encoded.indices.to_numpy(zero_copy_only=False)
        return np.array(places, dtype=np.int64)[indices] if len(places) else indices.astype(int)

    def code(self, text: str) -> int:
        at = self._at.setdefault(text, len(self.known))
        if at == len(self.known):
            self.known.append(text)
        return at


def united(parts: Sequence[Packed]) -> tuple[Packed, list[dict[str, npt.NDArray[np.int64]]]]:
    """No rows over the dictionaries of all parts, and each part's codes in them, by field."""
    texts = _Texts()
    moved: list[dict[str, npt.NDArray[np.int64]]] = []
    stacked: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in CODES}
    for part in parts:
        places = np.array([texts.code(text) for text in part.texts], dtype=np.int64)
        why, issue = part.why.copy(), part.issue.copy()
        if len(places):
            for name in ("rule", "reasons"):
                why[name] = places[why[name]]
            issue["model_version"] = places[issue["model_version"]]
        for name, values in zip(stacked, (part.what, why, issue, part.kinds), strict=True):
            stacked[name].append(values)
        moved.append({})
    distinct = {}
    for name, dictionaries in stacked.items():
        distinct[name], codes = intern(np.concatenate(dictionaries))
        at = 0
        for part_codes, dictionary in zip(moved, dictionaries, strict=True):
            part_codes[name] = codes[at : at + len(dictionary)]
            at += len(dictionary)
    marks = max((int(part.rows["mark_count"].dtype.itemsize) for part in parts), default=2)
    dtype = row_dtype(distinct, marks=(1 << 16) if marks > 2 else 0)
    empty = Packed(
        np.zeros(0, dtype=dtype), distinct["what"], distinct["why"], distinct["issue"],
        distinct["kinds"], texts.known,
    )  # fmt: skip
    return empty, moved


def recoded(
    rows: npt.NDArray[Any], codes: dict[str, npt.NDArray[np.int64]], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Rows of a part with the codes of the united dictionaries."""
    result = np.empty(len(rows), dtype=dtype)
    for name in dtype.names or ():
        result[name] = codes[name][rows[name]] if name in codes else rows[name]
    return result


def _steps(values: npt.NDArray[Any], steps: int) -> npt.NDArray[np.int64]:
    exact = np.nan_to_num(values.astype(np.float64)).clip(0.0, 1.0)
    return np.rint(exact * steps).astype(np.int64)


def _half(values: npt.NDArray[Any]) -> npt.NDArray[np.float16]:
    return values.astype(np.float64).clip(0.0, _MAX_FLOAT16).astype(np.float16)


def _seconds(times_ms: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    return (times_ms.astype(np.int64) // SECOND_MS).clip(0, (1 << 32) - 1).astype(np.uint32)


def _objects(texts: Sequence[str]) -> npt.NDArray[Any]:
    column = np.empty(len(texts), dtype=object)
    column[:] = texts
    return column

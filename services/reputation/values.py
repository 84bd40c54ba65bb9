"""Lookups in packed arrays: keys in, the 8 bytes of the feed's rows out. Pure."""

from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from services.common.feed.rows import round_marks
from services.reputation.filters import SHOWN_STATES
from services.reputation.published.key_index import CHUNK
from services.reputation.published.packing import PROBABILITY_OF
from services.reputation.published.table import Table
from services.reputation.snapshot import Snapshot

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

_PERCENT = np.rint(PROBABILITY_OF.astype(np.float64) * 100).astype(np.uint8)
_MARKS = round_marks(np.arange(1 << 16))
_PROBABILITY, _RISK, _LEVEL, _STATE, _ROUNDED = (np.uint64(bits) for bits in (16, 24, 32, 40, 48))
"""Where each lies in the 8 bytes, read as one little-endian integer; the category lies lowest."""

_whats: WeakKeyDictionary[Table, tuple[U64, npt.NDArray[np.bool_]]] = WeakKeyDictionary()


def values_of(snapshot: Snapshot, keys: I64) -> U64:
    """The 8 bytes of each key's row, uint64 (n,); 0 where there is nothing to show."""
    values = np.zeros(len(keys), dtype=np.uint64)
    for start in range(0, len(keys), CHUNK):
        part = keys[start : start + CHUNK]
        for layer, which, rows in snapshot.places(part):
            values[start + which] = values_of_rows(layer, rows)
    return values


def values_of_rows(layer: Table, rows: I64) -> U64:
    """The 8 bytes of rows of a table, uint64 (n,); 0 where there is nothing to show."""
    picked = layer.packed.rows.take(rows)
    what, shown = _what(layer)
    values: U64 = what.take(picked["what"])
    values |= _PERCENT.take(picked["probability"]).astype(np.uint64) << _PROBABILITY
    values |= _PERCENT.take(picked["risk"]).astype(np.uint64) << _RISK
    values |= _MARKS.take(picked["mark_count"], mode="clip").astype(np.uint64) << _ROUNDED
    if not shown.all():
        values *= shown.take(picked["what"])
    return values


def _what(layer: Table) -> tuple[U64, npt.NDArray[np.bool_]]:
    """Category, level and state of each code of `what`, and whether it is shown at all."""
    known = _whats.get(layer)
    if known is None:
        what = layer.packed.what
        bits = what["category"].astype(np.uint64)
        bits |= what["level"].astype(np.uint64) << _LEVEL
        bits |= what["state"].astype(np.uint64) << _STATE
        shown = (what["category"] > 0) | (what["level"] > 0) | np.isin(what["state"], SHOWN_STATES)
        known = _whats[layer] = bits, shown
    return known

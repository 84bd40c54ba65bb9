"""Columns of text as bytes, for arithmetic on all rows at once."""

from collections.abc import Callable
from functools import partial
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa

I64 = npt.NDArray[np.int64]
PRIME = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: what differs below differs above when multiplied by it."""
_LONGEST = 64


def text_bytes(column: pa.StringArray) -> tuple[I64, npt.NDArray[np.uint8]]:
    """Where each text starts and the last one ends, (n + 1,), and the bytes of all."""
    _, offset_buffer, value_buffer = column.buffers()
    if offset_buffer is None or value_buffer is None:
        return np.zeros(len(column) + 1, dtype=np.int64), np.empty(0, dtype=np.uint8)
    offsets = np.frombuffer(offset_buffer, dtype=np.int32)[column.offset :][: len(column) + 1]
    values = np.frombuffer(value_buffer, dtype=np.uint8)[offsets[0] : offsets[-1]]
    return offsets.astype(np.int64) - int(offsets[0]), values


def hashed(column: pa.StringArray) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each text, uint64 (n,); 0 for an empty one."""
    starts, values = text_bytes(column)
    found = np.zeros(len(column), dtype=np.uint64)
    if not len(values):
        return found
    lengths = np.diff(starts)
    longest = int(lengths.max())
    # Eight bytes can be read from any place, also from the last ones.
    padded = np.append(values, np.zeros(8, dtype=np.uint8))
    if int(lengths.min()) == longest <= _LONGEST:
        even = np.ndarray((len(lengths), longest), dtype="<u8", buffer=padded, strides=(longest, 1))
        return _mixed(longest, lambda place: even[:, place])
    any_place = np.ndarray(len(values), dtype="<u8", buffer=padded, strides=(1,))
    for length in np.flatnonzero(np.bincount(lengths)).tolist():
        if not length:
            continue
        rows = np.flatnonzero(lengths == length)
        if length > _LONGEST:
            taken = column.take(pa.array(rows)).to_pylist()
            digests = [blake2b(text.encode(), digest_size=8).digest() for text in taken]
            found[rows] = np.frombuffer(b"".join(digests), dtype=np.uint64)
        else:
            found[rows] = _mixed(length, partial(_from, any_place, starts[rows]))
    return found


def _from(words: npt.NDArray[np.uint64], starts: I64, place: int) -> npt.NDArray[np.uint64]:
    return words[starts + place]


def _mixed(length: int, eight: Callable[[int], npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]:
    """A hash of texts of `length` bytes, of which `eight` gives those from a place on."""
    state: npt.NDArray[np.uint64] | np.uint64 = np.uint64(length)
    # The last eight may overlap those before: nothing is lost by reading bytes twice.
    for place in (*range(0, length - 8, 8), max(length - 8, 0)):
        word = eight(place)
        if length < 8:
            word = word & np.uint64((1 << 8 * length) - 1)
        state = (state ^ word) * PRIME
        state ^= state >> np.uint64(32)
    return np.maximum(state, np.uint64(1))

"""Many numbers at once: common writings by array arithmetic, the rest one by one, once each.

The arithmetic accepts a row only where `parser.resolve` gives the same key; everything it is not
sure of, every invalid row included, goes the slow way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.common.numbering import keys
from services.common.numbering.kinds import Cause
from services.common.numbering.parser import check_region, resolve
from services.common.numbering.plan import Plan, load_plan
from services.common.numbering.segments import FIRST_SEGMENT, SEGMENT_COUNT
from services.common.numbering.text import MAX_RAW_CHARS, decode

CHUNK_ROWS = 1 << 18
"""Rows worked on at a time, so that scratch arrays stay within a few tens of MB."""

_DIGIT, _PLUS, _DROP, _OTHER = 0, 1, 2, 3
_CLASS_OF_BYTE = np.full(256, _OTHER, dtype=np.uint8)
_CLASS_OF_BYTE[np.frombuffer(b"0123456789", dtype=np.uint8)] = _DIGIT
_CLASS_OF_BYTE[ord("+")] = _PLUS
_CLASS_OF_BYTE[np.frombuffer(b" -().\t\r\n", dtype=np.uint8)] = _DROP
_SHORTEST, _LONGEST = 10, 15

Raws: TypeAlias = Sequence[str] | NDArray[Any] | pa.Array | pa.ChunkedArray


@dataclass(frozen=True, slots=True)
class ParsedColumn:
    """Keys of a column in its order.

    Attributes:
        keys: int64; 0 where the row is no number.
        causes: uint8 `Cause`; 0 where it is one.
    """

    keys: NDArray[np.int64]
    causes: NDArray[np.uint8]


def parse_column(raws: Raws, region: str = "CN") -> ParsedColumn:
    """Read a column of numbers; every row as `parse` reads it, a null as an empty string.

    Args:
        raws: strings, as a sequence, a numpy array (object, str, bytes or integer) or an Arrow
            array (string, binary, integer or dictionary of these).
        region: see `parse`.

    Raises:
        InvalidArgument: FIELD_OUT_OF_RANGE for a region that does not exist. A bad row is told in
            `causes`, never raised.
    """
    region = check_region(region)
    plan = load_plan()
    if isinstance(raws, pa.ChunkedArray):
        parts = [parse_column(chunk, region) for chunk in raws.chunks]
        return _join(parts)
    if isinstance(raws, pa.DictionaryArray):
        distinct = parse_column(raws.dictionary, region)
        where = pc.fill_null(raws.indices, len(raws.dictionary)).to_numpy(zero_copy_only=False)
        return ParsedColumn(
            np.append(distinct.keys, 0)[where],
            np.append(distinct.causes, np.uint8(Cause.EMPTY))[where].astype(np.uint8),
        )
    column = _binary(raws)
    chunks = range(0, len(column), CHUNK_ROWS)
    return _join([_parse_chunk(plan, column.slice(row, CHUNK_ROWS), region) for row in chunks])


def _join(parts: list[ParsedColumn]) -> ParsedColumn:
    if len(parts) == 1:
        return parts[0]
    return ParsedColumn(
        np.concatenate([np.empty(0, np.int64)] + [part.keys for part in parts]),
        np.concatenate([np.empty(0, np.uint8)] + [part.causes for part in parts]),
    )


def _binary(raws: Sequence[str] | NDArray[Any] | pa.Array) -> pa.LargeBinaryArray:
    """The column as UTF-8 bytes with 64-bit offsets, nulls empty."""
    if isinstance(raws, pa.Array):
        column = raws
    elif isinstance(raws, np.ndarray) and raws.dtype.kind in "iu":
        column = pa.array(raws)
    else:
        values = raws.tolist() if isinstance(raws, np.ndarray) else raws
        try:
            column = pa.array(values, type=pa.large_string())
        except (UnicodeEncodeError, pa.ArrowInvalid, pa.ArrowTypeError):
            column = pa.array([_utf8(value) for value in values], type=pa.large_binary())
    if not (pa.types.is_large_binary(column.type) or pa.types.is_binary(column.type)):
        if not pa.types.is_large_string(column.type):
            column = column.cast(pa.large_string())
        column = column.cast(pa.large_binary())
    column = column.cast(pa.large_binary())
    return pc.fill_null(column, b"") if column.null_count else column


def _utf8(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogatepass")


def _parse_chunk(plan: Plan, column: pa.LargeBinaryArray, region: str) -> ParsedColumn:
    found = np.zeros(len(column), dtype=np.int64)
    causes = np.zeros(len(column), dtype=np.uint8)
    if region in ("CN", "US"):
        _read_common(plan, column, region, found)
    rest = np.flatnonzero(found == 0)
    if len(rest):
        encoded = pc.dictionary_encode(column.take(pa.array(rest)))
        distinct = np.array(
            [resolve(plan, decode(raw), region)[0] for raw in encoded.dictionary.to_pylist()],
            dtype=np.int64,
        )
        outcome = distinct[encoded.indices.to_numpy(zero_copy_only=False)]
        found[rest] = np.maximum(outcome, 0)
        causes[rest] = np.maximum(-outcome.clip(max=0), 0)
    return ParsedColumn(found, causes)


def _read_common(
    plan: Plan, column: pa.LargeBinaryArray, region: str, found: NDArray[np.int64]
) -> None:
    """Fill `found` for rows of ten to fifteen digits, one plus before and plain separators."""
    offsets, buffer = _buffers(column)
    short_enough = np.diff(offsets) <= MAX_RAW_CHARS
    if (buffer - np.uint8(ord("0")) <= 9).all():  # a tenth of the time that the classes take
        byte_class = np.zeros(len(buffer), dtype=np.uint8)
    else:
        byte_class = _CLASS_OF_BYTE.take(buffer)
    if (byte_class == _DROP).any():
        keep = byte_class != _DROP
        before = np.zeros(len(buffer) + 1, dtype=np.int64)
        np.cumsum(keep, out=before[1:])
        offsets, buffer, byte_class = before[offsets], buffer[keep], byte_class[keep]
    starts = offsets[:-1]
    lengths = np.diff(offsets)
    plus = np.zeros(len(lengths), dtype=bool)
    eligible = short_enough & (lengths >= _SHORTEST)
    if byte_class.any():
        # A row is plain if its only byte that is no digit is a plus at its start.
        before = np.zeros(len(buffer) + 1, dtype=np.int64)
        np.cumsum(byte_class != _DIGIT, out=before[1:])
        oddities = before[offsets[1:]] - before[starts]
        plus[eligible] = byte_class[starts[eligible]] == _PLUS
        eligible &= oddities == plus
        starts, lengths = starts + plus, lengths - plus
    fewest, most = int(lengths.min(initial=_LONGEST)), int(lengths.max(initial=0))
    for digit_count in range(max(fewest, _SHORTEST), min(most, _LONGEST) + 1):
        rows = np.flatnonzero(eligible & (lengths == digit_count))
        if not len(rows):
            continue
        value = _values(buffer, starts[rows], digit_count)
        if region == "US":
            found[rows] = _us(value, digit_count)
        else:
            found[rows] = _cn(plan, value, digit_count, plus[rows])


def _buffers(column: pa.LargeBinaryArray) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    _, offset_buffer, value_buffer = column.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)
    offsets = offsets[column.offset : column.offset + len(column) + 1]
    if value_buffer is None:
        return offsets, np.empty(0, dtype=np.uint8)
    values = np.frombuffer(value_buffer, dtype=np.uint8)[offsets[0] : offsets[-1]]
    return offsets - offsets[0], values


def _values(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64], digit_count: int
) -> NDArray[np.int64]:
    """Numbers of ten to fifteen digits, from their first eight digits and their last eight."""
    any_place = np.ndarray(len(buffer) - 7, dtype="<u8", buffer=buffer, strides=(1,))
    scale = 10 ** (digit_count - 8)
    last = _eight_digits(any_place[starts + (digit_count - 8)])
    return _eight_digits(any_place[starts]) * scale + last % scale


def _eight_digits(word: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The number that eight ASCII digits write, the first in the lowest byte.

    Pairs of digits, then of pairs, then of fours (Lemire, "Quickly parsing eight digits", 2018).
    """
    word = (word & np.uint64(0x0F0F0F0F0F0F0F0F)) * np.uint64(10 << 8 | 1) >> np.uint64(8)
    word = (word & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(100 << 16 | 1) >> np.uint64(16)
    word = (word & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(10000 << 32 | 1) >> np.uint64(32)
    return word.astype(np.int64)


def _us(value: NDArray[np.int64], digit_count: int) -> NDArray[np.int64]:
    """Keys of NANP numbers, as `world.nanp`; 0 where the value is none."""
    if digit_count > 11:
        return np.zeros_like(value)
    national = value - (10**10 if digit_count == 11 else 0)
    valid = (national >= 2 * 10**9) & (national < 10**10)
    valid &= national // 10**6 % 10 >= 2
    return np.where(valid, keys.e164_key(10**10) + national, 0)


def _cn(
    plan: Plan, value: NDArray[np.int64], digit_count: int, plus: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Keys of mobile, fixed, 400 and 800 numbers, with or without trunk 0 and country code."""
    found = np.zeros_like(value)
    # With a plus there must be 86; without one there may be 86, 0086, a trunk 0 or nothing.
    if digit_count in (13, 15):
        eleven = (value // 10**11 == keys.CN) & (~plus | (digit_count == 13))
        found = _national(plan, value - keys.CN_11, 11, eleven, found)
    if digit_count in (12, 14):
        ten = (value // 10**10 == keys.CN) & (~plus | (digit_count == 12))
        found = _national(plan, value - keys.CN_10, 10, ten, found)
    if digit_count == 10:
        # Ten digits from 106 may be an SMS code.
        return _national(plan, value, 10, ~plus & (value // 10**7 != 106), found)
    if digit_count == 11:
        found = _national(plan, value, 11, ~plus, found)
        return _national(plan, value, 10, ~plus & (value < 10**10), found)
    if digit_count == 12:
        return _national(plan, value, 11, ~plus & (value < 10**11), found)
    return found


def _national(
    plan: Plan,
    value: NDArray[np.int64],
    digit_count: int,
    eligible: NDArray[np.bool_],
    found: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Add the keys of eligible national numbers of ten or eleven digits, as `china.subscriber`."""
    eligible = eligible & (found == 0) & (value >= 10 ** (digit_count - 1))
    if not eligible.any():
        return found
    valid = np.zeros(len(value), dtype=bool)
    if digit_count == 11:
        segment = (value // 10**4 - FIRST_SEGMENT).clip(0, SEGMENT_COUNT - 1)
        valid = (value < 2 * 10**10) & (value >= 13 * 10**9) & (plan.allocation[segment] > 0)
    if not (valid | ~eligible).all():
        valid |= _is_fixed(plan, value, digit_count)
    key = keys.e164_key(keys.CN * 10**digit_count) + value
    return np.where(eligible & valid, key, found)


def _is_fixed(plan: Plan, value: NDArray[np.int64], digit_count: int) -> NDArray[np.bool_]:
    """Which national numbers of ten or eleven digits are of fixed lines, 400 or 800."""
    area = value // 10 ** (digit_count - 3)
    local_first = value // 10 ** (digit_count - 4) % 10
    in_long = plan.province_of_area[area.clip(0, 999)] > 0
    valid: NDArray[np.bool_] = (area >= 300) & in_long & (local_first >= 2) & (local_first <= 8)
    if digit_count == 10:
        valid |= (area == 400) | (area == 800)
        short_area = value // 10**8
        begins = value // 10**7 % 10
        in_short = plan.province_of_area[short_area.clip(0, 99)] > 0
        valid |= (short_area < 30) & in_short & (begins >= 2) & (begins <= 8)
    return valid

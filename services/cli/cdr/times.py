"""Times as call records write them."""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.cli.cdr.words import text_bytes

CHINA_MS = 8 * 3_600_000
DAY_MS = 86_400_000
INVALID = -1
_EPOCH_DAY = datetime(1970, 1, 1)

_PLAIN = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d{1,3})?$"
_OFFSET = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d{1,3})?(Z|[+-]\d{2}:?\d{2})$"
_EPOCH = r"^\d{11,13}$"

_FORM = "0000-00-00T00:00:00"
_DIGITS = [place for place, sign in enumerate(_FORM) if sign == "0"]
_COLONS = [place for place, sign in enumerate(_FORM) if sign == ":"]
_HYPHENS = [place for place, sign in enumerate(_FORM) if sign == "-"]


def china_days(time_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Days since 1970 in China (UTC+8), (n,)."""
    return (time_ms + CHINA_MS) // DAY_MS


def read_times(column: pa.Array) -> npt.NDArray[np.int64]:
    """Epoch milliseconds of a text column, int64 (n,); INVALID for what is no time after 1970.

    ISO 8601, epoch milliseconds, or `YYYYMMDDhhmmss`. Without an offset the time is China's, which
    is what switches there write.
    """
    alike = _alike(column)
    if alike is not None:
        return alike
    with_zone, plain = pa.timestamp("ms", "UTC"), pa.timestamp("ms")
    for kind, shift in ((with_zone, 0), (plain, CHINA_MS)):
        try:
            return _milliseconds(column, kind, shift)
        except pa.ArrowInvalid:
            pass
    result = np.full(len(column), INVALID, dtype=np.int64)
    rest = np.ones(len(column), dtype=bool)
    for pattern, kind, shift in (
        (_OFFSET, with_zone, 0),
        (_PLAIN, plain, CHINA_MS),
        (_EPOCH, pa.int64(), 0),
    ):
        like = pc.fill_null(pc.match_substring_regex(column, pattern), False)
        at = np.flatnonzero(like.to_numpy(zero_copy_only=False))
        if len(at):
            try:
                result[at] = _milliseconds(column.take(pa.array(at)), kind, shift)
                rest[at] = False
            except pa.ArrowInvalid:
                continue  # one of them has a 13th month; told apart below
    odd = np.flatnonzero(rest)
    known: dict[str, int] = {}
    for row, text in zip(odd.tolist(), column.take(pa.array(odd)).to_pylist(), strict=True):
        if text not in known:
            known[text] = _one(text or "")
        result[row] = known[text]
    return np.where(result > 0, result, INVALID)


def _alike(column: pa.Array) -> npt.NDArray[np.int64] | None:
    """Times that are all written to the second with one offset or none, or none of that kind.

    Ten times as fast as Arrow's parser, which reads text by text.
    """
    starts, values = text_bytes(column)
    width = int(starts[1] - starts[0]) if len(column) else 0
    if width < len(_FORM) or len(values) != width * len(column) or (np.diff(starts) != width).any():
        return None
    places = np.ascontiguousarray(values.reshape(len(column), width).T)
    tail = places[len(_FORM) :, 0]
    if (places[len(_FORM) :] != tail[:, None]).any():
        return None
    shift_ms = _offset_ms(tail.tobytes().decode("ascii", "replace"))
    digits = places[_DIGITS] - np.uint8(ord("0"))
    between = places[10]
    if shift_ms is None or not (
        (digits <= 9).all()
        and (places[_HYPHENS] == ord("-")).all()
        and (places[_COLONS] == ord(":")).all()
        and ((between == ord("T")) | (between == ord(" "))).all()
    ):
        return None
    pairs = digits[0::2] * np.uint8(10) + digits[1::2]
    century, year, month, day, hour, minute, second = pairs
    if (hour > 23).any() or (minute > 59).any() or (second > 59).any():
        return None
    date = ((century * np.int32(100) + year) * np.int32(100) + month) * np.int32(100) + day
    encoded = pc.dictionary_encode(pa.array(date))
    try:
        days = [datetime.strptime(f"{d:08}", "%Y%m%d") for d in encoded.dictionary.to_pylist()]
    except ValueError:
        return None
    start_ms = np.array([(day - _EPOCH_DAY).days * DAY_MS - shift_ms for day in days])
    seconds = hour * np.int32(3600) + minute * np.int32(60) + second
    found = start_ms[encoded.indices.to_numpy()] + seconds * np.int64(1000)
    return np.where(found > 0, found, INVALID)


def _offset_ms(text: str) -> int | None:
    """The offset from UTC in milliseconds, China's for none; None for what is no offset."""
    if text in ("", "Z"):
        return 0 if text else CHINA_MS
    if not re.fullmatch(r"[+-]([01]\d|2[0-3]):?[0-5]\d", text):
        return None
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return (-60_000 if text[0] == "-" else 60_000) * minutes


def _milliseconds(column: pa.Array, kind: pa.DataType, shift: int) -> npt.NDArray[np.int64]:
    read = pc.cast(column, kind).cast(pa.int64())
    found = pc.fill_null(read, INVALID).to_numpy(zero_copy_only=False)
    return np.where(found > shift, found - shift, INVALID)


def _one(text: str) -> int:
    text = text.strip()
    try:
        if text.isascii() and text.isdigit():
            if len(text) == 14:
                moment = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
                return int(moment.timestamp() * 1000) - CHINA_MS
            return int(text) if 11 <= len(text) <= 13 else INVALID
        moment = datetime.fromisoformat(text)
        if len(text) < 16:  # a day alone is no time of a call
            return INVALID
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC) - timedelta(milliseconds=CHINA_MS)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return INVALID

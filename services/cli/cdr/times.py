"""Times as call records write them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

CHINA_MS = 8 * 3_600_000
DAY_MS = 86_400_000
INVALID = -1

_PLAIN = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d{1,3})?$"
_OFFSET = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d{1,3})?(Z|[+-]\d{2}:?\d{2})$"
_EPOCH = r"^\d{11,13}$"


def china_days(time_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Days since 1970 in China (UTC+8), (n,)."""
    return (time_ms + CHINA_MS) // DAY_MS


def read_times(column: pa.Array) -> npt.NDArray[np.int64]:
    """Epoch milliseconds of a text column, int64 (n,); INVALID for what is no time after 1970.

    ISO 8601, epoch milliseconds, or `YYYYMMDDhhmmss`. Without an offset the time is China's, which
    is what switches there write.
    """
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

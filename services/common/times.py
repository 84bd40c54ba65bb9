"""Times of the wire as epoch milliseconds; what a Timestamp or Duration may not hold is told."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.errors import InvalidArgument

NO_TIME_MS = -62_135_596_800_001
"""Before every Timestamp: stands for one that is none, so that it is refused as too early."""
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799
"""Years 1 to 9999 (google/protobuf/timestamp.proto)."""
EARLIEST_MS, LATEST_MS = 946_684_800_000, 32_503_680_000_000
"""2000 and 3000: times of requests lie between; later ones overflow calendars."""


def epoch_ms(time: Timestamp) -> int:
    """Epoch milliseconds, rounded down; NO_TIME_MS for seconds or nanos out of range."""
    if not (_FIRST_S <= time.seconds <= _LAST_S and 0 <= time.nanos < 1_000_000_000):
        return NO_TIME_MS
    return time.seconds * 1000 + time.nanos // 1_000_000


def timestamp(ms: int) -> Timestamp:
    """The Timestamp of epoch milliseconds."""
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def checked_ms(time: Timestamp, field: str) -> int:
    """Epoch milliseconds of a field of a request.

    Raises:
        InvalidArgument: TIME_INVALID, before 2000 or after 3000.
    """
    value = epoch_ms(time)
    if not EARLIEST_MS <= value < LATEST_MS:
        raise InvalidArgument(
            "TIME_INVALID",
            f"{field} must lie after 2000 and before 3000, not at {value} ms since 1970",
            field=field,
            value=value,
        )
    return value


def seconds(wait: Duration) -> float:
    """Seconds of a wish to wait, at any length."""
    return wait.seconds + wait.nanos / 1e9

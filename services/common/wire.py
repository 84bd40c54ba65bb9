"""What the services' wire types share: batches, as-of times, category codes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.clock import Clock
from services.common.errors import InvalidArgument, out_of_range
from services.common.times import checked_ms
from zhengming.reputation.v1 import reputation_pb2

WHOLE_END = 1 << 63
"""Whole numbers are below: as keys of numbers are, and as a signed column takes them."""
_MOST_DIGITS = len(str(WHOLE_END))


def whole(text: str) -> int | None:
    """The number that a text writes in ASCII digits alone; None for others, and from WHOLE_END."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        return None
    number = int(text)
    return number if number < WHOLE_END else None


def run_of(run_id: str) -> int:
    """The run that a request names.

    Raises:
        InvalidArgument: FIELD_REQUIRED; FIELD_OUT_OF_RANGE for what is no id of a run.
    """
    if not run_id:
        raise InvalidArgument("FIELD_REQUIRED", "run_id is required", field="run_id")
    run = whole(run_id)
    if run is None:
        raise out_of_range("run_id", repr(run_id[:40]), "the id of a run")
    return run


def page_limit(asked: int, usual: int, most: int) -> int:
    """Items of a page: `usual` unless a positive number is asked for, never above `most`."""
    return min(asked if asked > 0 else usual, most)


def check_batch(count: int, maximum: int, field: str) -> None:
    """Accept a batch of 1 to `maximum` items.

    Raises:
        InvalidArgument: BATCH_SIZE_INVALID.
    """
    if not 1 <= count <= maximum:
        raise InvalidArgument(
            "BATCH_SIZE_INVALID",
            f"{field} must have 1 to {maximum} items, not {count}",
            field=field,
            count=count,
            maximum=maximum,
        )


def packed(values: npt.NDArray[np.floating[Any]]) -> bytes:
    """Values as a field of bytes: little-endian float32, row by row."""
    return values.astype("<f4", copy=False).tobytes()


def unpacked(content: bytes, field: str) -> npt.NDArray[np.float32]:
    """The values of a field of bytes, (n,).

    Raises:
        InvalidArgument: COLUMN_LENGTH_MISMATCH: the bytes are no whole number of values.
    """
    if len(content) % 4:
        raise InvalidArgument(
            "COLUMN_LENGTH_MISMATCH",
            f"{field} has {len(content)} bytes, no multiple of 4",
            field=field,
            length=len(content),
        )
    return np.frombuffer(content, dtype="<f4").astype(np.float32, copy=False)


def as_of_ms(request: Any, clock: Clock) -> int:
    """The as_of_time of a request, epoch milliseconds; now if it is absent.

    Raises:
        InvalidArgument: TIME_INVALID, if it lies before 2000 or after 3000.
    """
    if not request.HasField("as_of_time"):
        return clock()
    return checked_ms(request.as_of_time, "as_of_time")


def sorted_keys(keys: Sequence[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Distinct keys ascending (n,), and the place of each asked key in them."""
    distinct, place = np.unique(np.array(keys, dtype=np.int64), return_inverse=True)
    return distinct, place


def category_code(category: int) -> str:
    """Code of a category id of axis A: 3107 is "A3107", 1 is the group "A1", 0 is none."""
    return f"A{category}" if category else ""


def category_id(code: str) -> int:
    """Id of a category code, 0 for none."""
    return int(code[1:]) if code else 0


MAKING = ("model_version", "rule")
"""Fields of a Reputation that say what decided. They are for those who judge: whoever knows which
rule of which version decided can feel for its edges."""


def without_making(reputation: reputation_pb2.Reputation) -> reputation_pb2.Reputation:
    """The same message, without what decided."""
    for field in MAKING:
        reputation.ClearField(field)
    return reputation

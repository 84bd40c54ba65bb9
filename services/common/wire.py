"""What the services' wire types share: batches, as-of times, category codes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.clock import Clock
from services.common.errors import InvalidArgument
from services.common.times import checked_ms
from zhengming.reputation.v1 import reputation_pb2


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

"""Batches of numbers as they come over the wire, without a Python string for each."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from google.protobuf.message import DecodeError

from services.common.errors import InvalidArgument
from zhengming.reputation.v1 import reputation_pb2 as pb

NUMBERS = 0x0A
"""Tag of field 1, the numbers."""
_MAX_SIZE = 0x7F
"""Of a number whose size takes one byte."""


def read_batch(request: bytes) -> tuple[Sequence[str] | pa.Array, str]:
    """The numbers and the region of a BatchGetReputationsRequest.

    Where all have the same size and no region is given, as mostly, they are cut out at once.

    Raises:
        InvalidArgument: FIELD_OUT_OF_RANGE, for bytes that are no such request.
    """
    if len(request) > 2 and request[0] == NUMBERS and request[1] <= _MAX_SIZE:
        size = request[1]
        count, rest = divmod(len(request), size + 2)
        if not rest:
            table = np.frombuffer(request, dtype=np.uint8).reshape(count, size + 2)
            if (table[:, 0] == NUMBERS).all() and (table[:, 1] == size).all():
                offsets = np.arange(0, (count + 1) * size, size, dtype=np.int64)
                content = pa.py_buffer(table[:, 2:].tobytes())
                buffers = [None, pa.py_buffer(offsets), content]
                return pa.Array.from_buffers(pa.large_binary(), count, buffers), ""
    try:
        asked = pb.BatchGetReputationsRequest.FromString(request)
    except DecodeError as error:
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE",
            f"the request cannot be read: {error}",
            field="request",
            value=f"{len(request)} bytes",
            expected="a BatchGetReputationsRequest",
        ) from None
    return list(asked.numbers), asked.region


def text_of(numbers: Sequence[str] | pa.Array, place: int) -> str:
    """One of the numbers that `read_batch` gave."""
    number = numbers[place]
    return number if isinstance(number, str) else number.as_py().decode("utf-8", "replace")

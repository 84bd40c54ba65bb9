"""Batches of numbers as they come over the wire, without a Python string for each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.protobuf.message import DecodeError

from services.common.errors import InvalidArgument
from services.common.numbering.keys import CN_11, e164_key
from services.common.numbering.plan import load_plan
from services.common.numbering.segments import FIRST_SEGMENT
from zhengming.reputation.v1 import reputation_pb2 as pb

NUMBERS = 0x0A
"""Tag of field 1, the numbers."""
_MOBILE_SIZE = 14
_POWERS = 10.0 ** np.arange(12, -1, -1)
_MAX_SIZE = 0x7F
"""Of a number whose size takes one byte."""


@dataclass(frozen=True)
class Batch:
    """A BatchGetReputationsRequest.

    Attributes:
        count: of numbers.
        numbers: texts; bytes where all have one size and there is no region.
        region: as asked, or empty.
        fields, keys: instead of both, where all are Chinese mobile numbers as we write them, as
            mostly: (n, 16), field 1 as it came, and their keys, (n,).
    """

    count: int
    numbers: Sequence[str] | pa.Array = ()
    region: str = ""
    fields: npt.NDArray[np.uint8] | None = None
    keys: npt.NDArray[np.int64] | None = None

    def text(self, place: int) -> str:
        """One of the numbers."""
        number = self.numbers[place]
        return number if isinstance(number, str) else number.as_py().decode("utf-8", "replace")


def read_batch(request: bytes) -> Batch:
    """Read a BatchGetReputationsRequest.

    Raises:
        InvalidArgument: FIELD_OUT_OF_RANGE, for bytes that are no such request.
    """
    if len(request) > 2 and request[0] == NUMBERS and 0 < request[1] <= _MAX_SIZE:
        size = request[1]
        count, rest = divmod(len(request), size + 2)
        if not rest:
            table = np.frombuffer(request, dtype=np.uint8).reshape(count, size + 2)
            if (table[:, 0] == NUMBERS).all() and (table[:, 1] == size).all():
                keys = _mobiles(table) if size == _MOBILE_SIZE else None
                if keys is not None:
                    return Batch(count, fields=table, keys=keys)
                return Batch(count, _column(table))
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
    return Batch(len(asked.numbers), list(asked.numbers), asked.region)


def _column(table: npt.NDArray[np.uint8]) -> pa.Array:
    """The numbers without tags and sizes."""
    count, size = table.shape[0], table.shape[1] - 2
    offsets = np.arange(0, (count + 1) * size, size, dtype=np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(table[:, 2:].tobytes())]
    return pa.Array.from_buffers(pa.large_binary(), count, buffers)


def _mobiles(table: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64] | None:
    """Keys of "+8613800138000" and the like; None where one of them is anything else.

    As `parse` reads a mobile number in wire form: of an allocated prefix.
    """
    digits = table[:, 3:] - np.uint8(ord("0"))
    if (table[:, 2] != ord("+")).any() or (digits > 9).any():
        return None
    national = digits.astype(np.float64) @ _POWERS  # exact: below 2^53
    keys = national.astype(np.int64) - CN_11
    if (keys < 13 * 10**9).any() or (keys >= 2 * 10**10).any():
        return None
    segments = keys // 10**4 - FIRST_SEGMENT
    if not load_plan().allocation.take(segments, mode="clip").all():
        return None
    return keys + e164_key(CN_11)

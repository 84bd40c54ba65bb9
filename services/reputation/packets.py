"""Batches of numbers as they come over the wire, without a Python string for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

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
_MAX_SIZE = 0x7F
"""Of a number whose size takes one byte."""
_MOBILE = np.dtype([("head", "<u4"), ("pairs", "<u2", (6,))])
"""Field 1 of "+8613800138000" and the like: up to "+8", then two digits at a time."""
_MOBILE_HEAD = int.from_bytes(b"%c%c+8" % (NUMBERS, 14), "little")
_POWERS = 100.0 ** np.arange(5, -1, -1)
_COUNTRY = 6 * 10**11
"""What follows "+8" of a Chinese number of 11 digits, less those."""
_MOBILES = _COUNTRY + 13 * 10**9, _COUNTRY + 2 * 10**10


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
            keys = _mobiles(request) if size + 2 == _MOBILE.itemsize else None
            if keys is not None:
                return Batch(count, fields=table, keys=keys)
            if (table[:, 0] == NUMBERS).all() and (table[:, 1] == size).all():
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


def _mobiles(request: bytes) -> npt.NDArray[np.int64] | None:
    """Keys of "+8613800138000" and the like; None where one of them is anything else.

    As `parse` reads a mobile number in wire form: of an allocated prefix.
    """
    fields = np.frombuffer(request, dtype=_MOBILE)
    if np.count_nonzero(fields["head"] == _MOBILE_HEAD) != len(fields):
        return None
    digits = _pairs().take(fields["pairs"]) @ _POWERS  # exact: below 2^53
    least, end = _MOBILES
    if digits.min() < least or digits.max() >= end:
        return None
    national = digits.astype(np.int64) - _COUNTRY
    whole = _whole_prefixes().take(national // 10**7 - FIRST_SEGMENT // 1000)
    if np.count_nonzero(whole) != len(fields):
        segments = national // 10**4 - FIRST_SEGMENT
        if np.count_nonzero(load_plan().allocation.take(segments)) != len(fields):
            return None
    return national + e164_key(CN_11)


@lru_cache(maxsize=1)
def _whole_prefixes() -> npt.NDArray[np.bool_]:
    """Of which of the prefixes of four digits from 1300 on every segment is allocated.

    Most numbers are of such a prefix, and their table stays in the cache.
    """
    return np.all(load_plan().allocation.reshape(-1, 1000), axis=1)


@lru_cache(maxsize=1)
def _pairs() -> npt.NDArray[np.float64]:
    """Of two characters, the number that they write; far below all others where one is no digit."""
    values = np.full(1 << 16, -1e13)
    for number in range(100):
        values[int.from_bytes(b"%02d" % number, "little")] = number
    return values

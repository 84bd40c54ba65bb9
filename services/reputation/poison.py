"""Numbers that cannot be judged, parted from those of their batch that can."""

from collections.abc import Callable
from typing import TypeVar

import grpc
import numpy as np
import numpy.typing as npt

from services.common.errors import DomainError

I64 = npt.NDArray[np.int64]
Found = TypeVar("Found")

FAILURES = 64
"""So many failed attempts name the numbers that make a batch fail; a batch that still fails is not
poisoned by a few numbers: something is wrong with all."""
_OF_THE_BATCH = (
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNKNOWN,
)
"""Statuses that the same request will meet with again."""


def judge_apart(judge: Callable[[I64], Found], numbers: I64) -> tuple[Found | None, I64]:
    """Judge a batch; where it fails by itself, judge it without the numbers that make it fail.

    They are found by halves: k numbers of n cost about 2 k log2(n) attempts.

    Args:
        judge: answers for some of the numbers, ascending.
        numbers: (n,), ascending, n >= 1.

    Returns:
        The answer for those that can be judged, None without any, and those that cannot.

    Raises:
        Exception: the judge's, where it would not meet the same batch again or FAILURES do not
            part the numbers.
    """
    try:
        return judge(numbers), numbers[:0]
    except Exception as error:
        if not _is_of_the_batch(error):
            raise
        search = _Search(judge)
        culprits = search.culprits(numbers, error)
    left = np.setdiff1d(numbers, culprits, assume_unique=True)
    return (judge(left) if len(left) else None), culprits


class _Search:
    def __init__(self, judge: Callable[[I64], object]) -> None:
        self._judge, self._failures = judge, 0

    def culprits(self, numbers: I64, error: Exception) -> I64:
        """Of numbers that failed together, those that fail by themselves."""
        if len(numbers) == 1:
            return numbers
        middle = len(numbers) // 2
        return np.concatenate([self._of(half, error) for half in np.split(numbers, [middle])])

    def _of(self, numbers: I64, first: Exception) -> I64:
        try:
            self._judge(numbers)
        except Exception as error:
            self._failures += 1
            if self._failures > FAILURES or not _is_of_the_batch(error):
                raise first from error
            return self.culprits(numbers, error)
        return numbers[:0]


def _is_of_the_batch(error: Exception) -> bool:
    if isinstance(error, grpc.RpcError):
        return error.code() in _OF_THE_BATCH
    return not isinstance(error, DomainError)

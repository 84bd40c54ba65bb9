"""Longest prefix of a number's national digits."""

from collections.abc import Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefixes(Generic[T]):
    """Values by prefix of national digits; the longest prefix that fits decides."""

    def __init__(self, values: Mapping[str, T]) -> None:
        self._values = dict(values)
        self._widths = sorted({len(prefix) for prefix in values}, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._values)

    def find(self, number: str) -> T | None:
        """The value for a number in canonical form, +86... or national; None without a prefix."""
        digits = national(number)
        for width in self._widths:
            if (found := self._values.get(digits[:width])) is not None:
                return found
        return None


def national(number: str) -> str:
    """Digits of a number in canonical form, without China's country code."""
    return number.lstrip("+").removeprefix("86")

"""Numbers by chunks, several threads at once. Pure."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

CHUNK = 10_000
"""Numbers whose posteriors are held at once by a thread: they fit into a processor's cache."""
THREADS = 2


def by_chunk(count: int, work: Callable[[int, int], T]) -> Iterator[T]:
    """The results of `work(first, last)` over consecutive numbers, in their order."""
    with ThreadPoolExecutor(THREADS) as pool:
        starts = range(0, count, CHUNK)
        yield from pool.map(lambda first: work(first, min(first + CHUNK, count)), starts)

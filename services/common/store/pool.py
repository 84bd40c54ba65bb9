"""Sessions or connections lent to one thread at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

from services.common.errors import Unavailable

T = TypeVar("T")


class Pool(Generic[T]):
    """Makes an item when none is idle; so there are as many as callers at the same moment."""

    def __init__(self, make: Callable[[], T], dispose: Callable[[T], None]) -> None:
        self._make = make
        self._dispose = dispose
        self._idle: list[T] = []
        self._generation = 0
        self._closed = False
        self._lock = Lock()

    @contextmanager
    def lend(self) -> Iterator[T]:
        """One item, for the caller alone; it is disposed of if the caller's block raises.

        Raises:
            Unavailable: STORE_UNAVAILABLE after `close`.
        """
        with self._lock:
            if self._closed:
                raise Unavailable("STORE_UNAVAILABLE", "store: it is closed")
            generation = self._generation
            item = self._idle.pop() if self._idle else None
        if item is None:
            item = self._make()
        keep = False
        try:
            yield item
            keep = True
        finally:
            with self._lock:
                keep = keep and not self._closed and generation == self._generation
                if keep:
                    self._idle.append(item)
            if not keep:
                self._dispose(item)

    def renew(self) -> None:
        """Dispose of the idle items now and of the lent ones when they come back."""
        with self._lock:
            self._generation += 1
            idle, self._idle = self._idle, []
        for item in idle:
            self._dispose(item)

    def close(self) -> None:
        """Lend no more; a lent item is disposed of when it comes back."""
        with self._lock:
            self._closed = True
        self.renew()

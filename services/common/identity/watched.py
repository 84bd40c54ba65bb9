"""Files that are read anew when they change."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")


class Watched(Generic[T]):
    """What some files say now; where they are spoilt, what they said last."""

    def __init__(self, paths: Sequence[Path], read: Callable[[], T]) -> None:
        """Read once.

        Raises:
            DomainError: whatever `read` raises, at this first time.
        """
        self._paths, self._read = paths, read
        self._lock = threading.Lock()
        self._seen = self._stamps()
        self._value = read()

    def __call__(self) -> T:
        """The newest good content."""
        if self._stamps() != self._seen:
            with self._lock:
                stamps = self._stamps()
                if stamps != self._seen:
                    try:
                        self._value = self._read()
                    except Exception as error:
                        log.error("%s: %s; what was read before stays", self._paths[0].name, error)
                    self._seen = stamps
        return self._value

    def _stamps(self) -> list[tuple[int, int, int]]:
        stamps = []
        for path in self._paths:
            try:
                found = path.stat()
                stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
            except OSError:
                stamps.append((0, 0, 0))
        return stamps

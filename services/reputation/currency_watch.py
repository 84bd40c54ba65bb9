"""Looks at the store how far what is published lags behind what was committed."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from services.common.clock import Clock
from services.common.errors import DomainError
from services.common.store import Store
from services.reputation import queries
from services.reputation.currency import FILE, Currency

log = logging.getLogger(__name__)

LOOK_S, LOOKS = 5.0, 4
"""Between two looks; so many at least before something is stale."""


class CurrencyWatch:
    """Looks at the store in a thread of its own, and tells the folder."""

    def __init__(
        self,
        store: Store,
        change_cursor: Callable[[], str],
        currency: Currency,
        folder: Path | None,
        clock: Clock,
    ) -> None:
        """Nobody has looked yet.

        Args:
            change_cursor: of the newest published version.
            folder: of the published state; None: there is none.
            clock: the one that commits are stamped with.
        """
        self._store, self._change_cursor, self._currency = store, change_cursor, currency
        self._path = None if folder is None else folder / FILE
        self._clock = clock
        self._every_s = min(LOOK_S, currency.stale_s / LOOKS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="currency", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._thread.join()

    def look(self) -> None:
        """Look once.

        Raises:
            Unavailable: STORE_UNAVAILABLE.
        """
        cursor = self._change_cursor()  # read first: what comes later can only make it younger
        now_ms = self._clock()
        waiting, oldest_ms = queries.changes_beyond(self._store, int(cursor or 0))
        age_s = max(now_ms - oldest_ms, 0) / 1000 if waiting else 0.0
        self._currency.note(age_s)
        if self._path is not None:
            told_ns = time.time_ns() - int(age_s * 1e9)
            self._path.touch()
            os.utime(self._path, ns=(told_ns, told_ns))

    def _follow(self) -> None:
        while True:
            try:
                self.look()
            except (DomainError, OSError) as error:
                log.warning("how current the published state is cannot be told: %s", error)
            except Exception:
                log.exception("looking how current the published state is failed")
            if self._stopping.wait(self._every_s):
                return

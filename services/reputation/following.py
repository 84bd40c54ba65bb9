"""The published state as a process follows it that another one writes."""

import logging
import threading
from pathlib import Path

from services.common.errors import InvalidArgument, Unavailable
from services.reputation.currency import STALE_S, Currency, Told
from services.reputation.published.shelf import Reader
from services.reputation.snapshot import Snapshot, snapshot_of, with_records

log = logging.getLogger(__name__)


class FollowedState:
    """The newest snapshot of a folder that another process writes."""

    def __init__(self, folder: Path, stale_s: float = STALE_S) -> None:
        """Nothing is read yet; answers are marked stale from that age on."""
        self.currency = Currency(stale_s)
        self._told = Told(folder, self.currency)
        self._reader = Reader(folder)
        self._snapshot: Snapshot | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._fault = ""

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot that is whole.

        Raises:
            Unavailable: NOT_READY, before the first one.
        """
        if self._snapshot is None:
            raise Unavailable("NOT_READY", "the published state is not there yet", service="lookup")
        return self._snapshot

    def poll(self) -> bool:
        """Look whether there is something newer; whether there was. The last good one stays."""
        self._told.look()
        try:
            found = self._reader.poll()
        except (InvalidArgument, OSError) as error:
            if str(error) != self._fault:
                log.warning("the published state cannot be read, the last good one stays")
            self._fault = str(error)
            return False
        self._fault = ""
        if found is None:
            return False
        mark, replaced, records = found
        before = () if self._snapshot is None else self._snapshot.layers
        layers = list(before) if replaced is None else replaced
        self._snapshot = snapshot_of(mark, with_records(layers, records))
        return True

    def start(self, pause_s: float) -> None:
        """Follow in a thread of its own."""
        self._thread = threading.Thread(target=self._follow, args=(pause_s,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _follow(self, pause_s: float) -> None:
        while not self._stopping.wait(pause_s):
            try:
                self.poll()
            except Exception:
                log.exception("following the published state failed, trying again")

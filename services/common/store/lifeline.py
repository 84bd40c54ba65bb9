"""The connections of a process to its store, which can be cut where the store does not answer.

A statement may take minutes, so a connection waits that long for a server that hangs. A process
that was told to end does not: it asks whether the store answers at all.
"""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable

from clickhouse_driver import Client
from clickhouse_driver import errors as driver_errors

from services.common.errors import Unavailable

log = logging.getLogger(__name__)

CONNECTION_LOST = (driver_errors.NetworkError, EOFError, ConnectionError)
UNANSWERED = (*CONNECTION_LOST, OSError, driver_errors.SocketTimeoutError)
PROBE_S = 3
LOST_S = 8.0
"""So long must a store be silent, once the process was told to end, before it is given up."""
PAUSE_S = 1.0


class Lifeline:
    """All connections of a process, those in use too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: set[Client] = set()
        self._is_cut = False

    @property
    def is_cut(self) -> bool:
        """Whether the store is given up."""
        return self._is_cut

    def hold(self, client: Client) -> Client:
        """Add a connection.

        Raises:
            Unavailable: STORE_UNAVAILABLE, once the lifeline is cut.
        """
        with self._lock:
            if self._is_cut:
                raise Unavailable("STORE_UNAVAILABLE", "store: it is given up")
            self._clients.add(client)
        return client

    def drop(self, client: Client) -> None:
        """Close a connection, and forget it."""
        with self._lock:
            self._clients.discard(client)
        client.disconnect()

    def cut(self) -> None:
        """Fail what runs, and all that comes; again, for connections that have opened since."""
        with self._lock:
            self._is_cut = True
            clients = list(self._clients)
        for client in clients:
            opened = client.connection.socket
            if opened is not None:
                with contextlib.suppress(OSError):  # it may be closed already
                    opened.shutdown(socket.SHUT_RDWR)


def greets(host: str, port: int) -> bool:
    """Whether a server at host and port greets who connects, within seconds; whatever it says."""
    probe = Client(host, port, connect_timeout=PROBE_S, send_receive_timeout=PROBE_S)
    try:
        probe.connection.connect()
    except UNANSWERED:
        return False
    except driver_errors.Error:  # it refuses, so it is there
        return True
    finally:
        probe.disconnect()
    return True


def cut_when_lost(
    lifeline: Lifeline,
    told_to_end: Callable[[], object],
    answers: Callable[[], bool],
    lost_s: float = LOST_S,
) -> threading.Thread:
    """Once the process is told to end, see in a thread whether its store answers; cut it if not.

    Args:
        told_to_end: returns when it is.
        answers: whether the store does, within seconds.
        lost_s: how long it must not have answered.
    """

    def watch() -> None:
        told_to_end()
        heard = time.monotonic()
        while True:
            if not lifeline.is_cut and answers():
                heard = time.monotonic()
            if time.monotonic() - heard >= lost_s:
                if not lifeline.is_cut:
                    log.warning("the store does not answer, and is given up")
                lifeline.cut()
            time.sleep(PAUSE_S)

    thread = threading.Thread(target=watch, name="lifeline", daemon=True)
    thread.start()
    return thread

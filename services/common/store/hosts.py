"""The servers that a store's URL names, and which of them is asked first."""

from collections.abc import Sequence
from threading import Lock
from urllib.parse import urlsplit

Host = tuple[str, int]
DEFAULT_PORT = 9000


def read_hosts(text: str) -> list[Host]:
    """Servers of "HOST[:PORT][,HOST[:PORT]…]", in order.

    Raises:
        ValueError: one of them is none.
    """
    found = []
    for part in text.split(","):
        parts = urlsplit(f"//{part}")
        if not parts.hostname or parts.path:
            raise ValueError(f"no server: {part}")
        found.append((parts.hostname, DEFAULT_PORT if parts.port is None else parts.port))
    return found


class Hosts:
    """Servers of which any will do: who answered last is asked first. Threads may share it."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        """Begin with the first of one or more."""
        self._hosts = list(hosts)
        self._lock = Lock()

    def in_order(self) -> list[Host]:
        """All, in the order in which to try them."""
        with self._lock:
            return list(self._hosts)

    def answered(self, host: Host) -> None:
        """Go on with one of them until it does not answer."""
        with self._lock:
            at = self._hosts.index(host)
            self._hosts = self._hosts[at:] + self._hosts[:at]

    def __str__(self) -> str:
        return ", ".join(f"{host}:{port}" for host, port in self.in_order())

"""One POST to one target: to an address that was checked, without following anything."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping

from services.arbitration.notices.addresses import Place, is_public, place_of
from services.common.errors import InvalidArgument

CONNECT_S, ANSWER_S = 5.0, 10.0
"""Seconds to connect, and for the whole exchange."""


class _Refused(OSError):
    """The name stands for an address that notices may not go to."""


def post(url: str, body: bytes, headers: Mapping[str, str], allow_private: bool) -> tuple[int, str]:
    """Send; returns the HTTP status (0 without an answer) and why there was none, "" else.

    The host's name is resolved here once and the connection goes to an address so found: a name
    that stands for another address a moment later (DNS rebinding) leads nowhere else. No proxy of
    the environment is used, a redirect is an answer like any other.
    """
    try:
        place = place_of(url, allow_private)
    except InvalidArgument as error:
        return 0, error.metadata.get("cause", error.reason)
    connection = _connection(place, allow_private)
    # One time for all of it: a receiver that sends a byte now and then holds nobody up.
    is_cut = threading.Event()
    timer = threading.Timer(ANSWER_S, _cut, (connection, is_cut))
    timer.daemon = True
    timer.start()
    try:
        connection.request("POST", place.path, body, dict(headers))
        return connection.getresponse().status, ""
    except _Refused:
        return 0, "ADDRESS_NOT_PUBLIC"
    except TimeoutError:
        return 0, "TIMEOUT"
    except ssl.SSLError:
        return 0, "TLS"
    except (OSError, http.client.HTTPException, AttributeError):
        # AttributeError: http.client reads from a TLS socket that the timer has shut.
        return 0, "TIMEOUT" if is_cut.is_set() else "NO_ANSWER"
    finally:
        timer.cancel()
        connection.close()


def _cut(connection: http.client.HTTPConnection, is_cut: threading.Event) -> None:
    """End an exchange under way. Closing would not: the answer's reader has the socket too."""
    is_cut.set()
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _connection(place: Place, allow_private: bool) -> http.client.HTTPConnection:
    if place.is_secure:
        return _Secure(place, allow_private)
    return _Plain(place, allow_private)


def _connected(place: Place, allow_private: bool) -> socket.socket:
    found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not allow_private and not all(map(is_public, addresses)):
        raise _Refused(place.host)
    return socket.create_connection((addresses[0], place.port), CONNECT_S)


class _Plain(http.client.HTTPConnection):
    """A connection to a checked address."""

    def __init__(self, place: Place, allow_private: bool) -> None:
        super().__init__(place.host, place.port, timeout=ANSWER_S)
        self._place, self._allow_private = place, allow_private

    def connect(self) -> None:
        """Connect to a checked address."""
        self.sock = _connected(self._place, self._allow_private)
        self.sock.settimeout(ANSWER_S)


class _Secure(http.client.HTTPSConnection):
    """The same over TLS; the certificate is that of the host's name."""

    def __init__(self, place: Place, allow_private: bool) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(place.host, place.port, timeout=ANSWER_S, context=self._tls)
        self._place, self._allow_private = place, allow_private

    def connect(self) -> None:
        """Connect to a checked address."""
        plain = _connected(self._place, self._allow_private)
        plain.settimeout(ANSWER_S)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self._place.host)

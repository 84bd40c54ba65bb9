"""A receiver of notices: a real HTTP server on 127.0.0.1 that keeps what it was sent."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DEADLINE_S = 60


@dataclass(frozen=True)
class Received:
    """One POST."""

    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Receiver:
    """What came, and what is answered: `status` may be changed at any time."""

    def __init__(self, port: int) -> None:
        self.port, self.status = port, 200
        self.location = ""
        self.received: list[Received] = []
        self._came = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?x=1"

    def take(self, headers: dict[str, str], body: bytes) -> int:
        with self._came:
            self.received.append(Received(headers, body, self.status))
            self._came.notify_all()
            return self.status

    def when(self, condition: Callable[[list[Received]], bool]) -> list[Received]:
        """What was received, once the condition holds of it."""
        with self._came:
            if not self._came.wait_for(lambda: condition(self.received), DEADLINE_S):
                raise AssertionError(f"never came: {self.received}")
            return list(self.received)


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """A running receiver."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.take({k.lower(): v for k, v in self.headers.items()}, body)
            self.send_response(status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    receiver = Receiver(server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

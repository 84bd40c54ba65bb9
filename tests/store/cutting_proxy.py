"""A TCP proxy on loopback that cuts a connection when a given text passes towards the server."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class CuttingProxy:
    """Forwards to a port, but cuts the first `cut_count` connections that would pass `trigger`.

    Attributes:
        port: where to connect.
        seen_count: how often the trigger came.
    """

    def __init__(self, target_port: int, trigger: bytes, cut_count: int) -> None:
        self._target_port = target_port
        self._trigger = trigger
        self._cuts_left = cut_count
        self.seen_count = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for end in self._ends:
            _shut(end)
        for thread in self._threads[1:]:
            thread.join()
        for end in (self._listening, *self._ends):
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target_port))
            self._ends += [client, server]
            for pair in ((client, server, True), (server, client, False)):
                thread = threading.Thread(target=self._forward, args=pair)
                self._threads.append(thread)
                thread.start()

    def _forward(self, source: socket.socket, sink: socket.socket, to_server: bool) -> None:
        try:
            while chunk := source.recv(65536):
                is_cut = False
                if to_server and self._trigger in chunk:
                    self.seen_count += 1
                    is_cut = self._cuts_left > 0
                    self._cuts_left -= is_cut
                if is_cut:
                    break
                sink.sendall(chunk)
        except OSError:
            pass
        _shut(source)
        _shut(sink)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may be shut already
        end.shutdown(socket.SHUT_RDWR)

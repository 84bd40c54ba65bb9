"""The console as a running server: waitress in a thread."""

import threading

import flask
import waitress
from waitress.server import BaseWSGIServer

from services.common.errors import Unavailable

THREADS = 8
CONNECTIONS = 2_000
"""Open at a time; waitress takes 100 unless told otherwise, and then silent ones keep all out."""
SILENT_S, LOOK_S = 30, 10
"""After so long a connection on which nothing is under way is closed; how often that is seen to."""


class Running:
    """A started console."""

    def __init__(self, app: flask.Flask, address: str) -> None:
        """Listen on an address such as "127.0.0.1:8080"; port 0 takes a free one.

        Raises:
            Unavailable: ADDRESS_IN_USE.
        """
        host, _, port = address.rpartition(":")
        try:
            self._server: BaseWSGIServer = waitress.create_server(
                app,
                host=host or "127.0.0.1",
                port=int(port),
                threads=THREADS,
                ident=None,
                connection_limit=CONNECTIONS,
                channel_timeout=SILENT_S,
                cleanup_interval=LOOK_S,
                asyncore_use_poll=True,  # select() ends at 1,024 descriptors
            )
        except (OSError, ValueError) as error:
            raise Unavailable(
                "ADDRESS_IN_USE",
                f"the console cannot listen on {address}: is it in use?",
                address=address,
            ) from error
        self.address = f"http://{host or '127.0.0.1'}:{self._server.effective_port}"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._server.run()
        except OSError:  # its sockets were closed while it waited for them
            if not self._stopping.is_set():
                raise

    def stop(self) -> None:
        """Finish running requests and stop."""
        self._server.task_dispatcher.shutdown()  # before its sockets go: it answers through them
        self._stopping.set()
        self._server.close()
        self._thread.join(timeout=5)

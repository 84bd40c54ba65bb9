"""A Redis server of our own as a peer of lookups: the same keys, the same values of 8 bytes."""

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import redis

READY_S = 20.0
PART = 10_000
"""Keys of one MGET; the commands of a call are pipelined."""


class Peer:
    """A client of a server that holds values of 8 bytes by number key."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def fill(self, keys: np.ndarray, values: bytes) -> None:
        """Store the values, 8 bytes each, of number keys, int64 (n,)."""
        texts = [str(key) for key in keys.tolist()]
        for start in range(0, len(texts), PART):
            some = texts[start : start + PART]
            parts = (values[8 * at : 8 * at + 8] for at in range(start, start + len(some)))
            self._client.mset(dict(zip(some, parts, strict=True)))

    def lookup(self, keys: np.ndarray) -> bytes:
        """The values of number keys, in their order; of those that are not stored, zeros."""
        texts = [str(key) for key in keys.tolist()]
        pipeline = self._client.pipeline(transaction=False)
        for start in range(0, len(texts), PART):
            pipeline.mget(texts[start : start + PART])
        return b"".join(value or bytes(8) for found in pipeline.execute() for value in found)

    def bytes_a_number(self) -> float:
        """Memory of what is stored."""
        return float(self._client.info("memory")["used_memory_dataset"] / self._client.dbsize())


@contextmanager
def started() -> Iterator[Peer]:
    """A server on a socket in a folder of its own, ended afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/redis"
        command = ["redis-server", "--port", "0", "--unixsocket", socket, "--save", ""]
        with subprocess.Popen([*command, "--dir", folder], stdout=subprocess.DEVNULL) as server:
            try:
                yield Peer(_connected(socket))
            finally:
                server.terminate()


def _connected(socket: str) -> redis.Redis:
    """A client of the server, as soon as it answers."""
    client, until = redis.Redis(unix_socket_path=socket), time.monotonic() + READY_S
    while True:
        try:
            client.ping()
        except redis.ConnectionError:
            if time.monotonic() > until:
                raise
            threading.Event().wait(0.05)
        else:
            return client

"""The processes that a scenario loads."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from loadtests.load import plan
from services.configuration import environment
from services.console.accounts import Accounts, hashed

ROOT = Path(__file__).parents[2]


class Process:
    """One that may be killed and begun anew at the same address.

    Attributes:
        begun: when each of its lives began, monotonic seconds.
    """

    def __init__(self, address: str, variables: Mapping[str, str], *services: str) -> None:
        self.address, self._variables, self._services = address, dict(variables), services
        self.begun: list[float] = []
        self.begin()

    def begin(self) -> None:
        """Start, and wait until it serves."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services", *self._services],
            cwd=ROOT,
            env={**os.environ, **self._variables, "ZHENGMING_ADDRESS": self.address},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.begun.append(time.monotonic())
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("serving on "):
            raise RuntimeError(f"the services did not start: {line!r}")

    def kill(self) -> None:
        """SIGKILL, also to what it has begun, and begin anew."""
        for process in [*self._children(), self.process]:
            process.kill()
        self.process.wait()
        self.begin()

    def stop_for(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so long."""
        stopped = [*self._children(), self.process]
        for process in stopped:
            process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        for process in stopped:
            process.send_signal(signal.SIGCONT)

    def end(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)

    def remove(self) -> None:
        """SIGKILL where it runs still."""
        if self.process.poll() is None:
            for process in [*self._children(), self.process]:
                process.kill()
            self.process.wait()

    def _children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


class Server:
    """All services in a process, and lookups besides in one of their own, as vendors ask them.

    Attributes:
        services, lookup: the two.
        console: HOST:PORT.
        store: its URL.
    """

    def __init__(self, folder: Path) -> None:
        address, self.console, lookup = (f"127.0.0.1:{port}" for port in free_ports(3))
        self.store = f"chdb:{folder / 'store'}"
        variables = {
            "ZHENGMING_STORE": self.store,
            "ZHENGMING_MODELS": str(folder / "models"),
            "ZHENGMING_KEY_FILE": str(folder / "key"),
            "ZHENGMING_PUBLISHED": str(folder / "published"),
            "ZHENGMING_CONSOLE_RATE_SCALE": "100000",  # all visitors come from one address
        }
        accounts = Accounts(environment(variables).accounts)
        accounts.put(hashed(plan.REVIEWER, "reviewer", "", plan.PASSWORD))
        with_console = {**variables, "ZHENGMING_CONSOLE_ADDRESS": self.console}
        self.services = Process(address, with_console)
        self.lookup = Process(lookup, variables, "lookup")

    @property
    def address(self) -> str:
        """Of all services."""
        return self.services.address

    def end(self) -> list[int]:
        """SIGTERM to both; the exit codes."""
        return [self.lookup.end(), self.services.end()]

    def remove(self) -> None:
        """SIGKILL where one runs still."""
        self.lookup.remove()
        self.services.remove()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until it held.

    Raises:
        TimeoutError: it did not.
    """
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(0.1)
    return time.monotonic() - begun

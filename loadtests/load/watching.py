"""What happens to the processes meanwhile: faults, and what is measured of them."""

import random
import threading
import time

import numpy as np
import psutil

from loadtests.load import plan
from loadtests.load.processes import Process, Server

WARM_S = 300
"""A process that began has its usual size by then (docs/load.md). Ours."""
AT_LOOKUPS = 0.25
"""Share of the faults that meet the lookups' process."""
KILLED = 0.2
"""Share of the faults that kill; the others stop."""


class Meter:
    """Memory of the services' process once a second, in a thread."""

    def __init__(self, server: Process) -> None:
        self._server, self._stopping = server, threading.Event()
        self.samples: list[tuple[float, float]] = []
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(1.0):
            try:
                memory = psutil.Process(self._server.process.pid).memory_info().rss / 2**20
            except psutil.Error:  # between a process and the next
                continue
            self.samples.append((time.monotonic(), memory))

    def stop(self) -> None:
        """Measure no more."""
        self._stopping.set()
        self._thread.join()

    def slope(self) -> float | None:
        """MiB a minute after plan.KNOWN_S, of each process after WARM_S; None of too few seconds.

        Least squares with one slope and a level of its own for each process.
        """
        samples = np.array(self.samples)
        process = np.searchsorted(self._server.begun, samples[:, 0], side="right") - 1
        minutes = (samples[:, 0] - np.array(self._server.begun)[process]) / 60
        memory = samples[:, 1]
        kept = (minutes > WARM_S / 60) & (samples[:, 0] - self._begun > plan.KNOWN_S)
        for one in np.unique(process):
            own = kept & (process == one)
            if own.any():
                minutes[own] -= minutes[own].mean()
                memory[own] -= memory[own].mean()
        if kept.sum() < WARM_S:
            return None
        return float(minutes[kept] @ memory[kept] / (minutes[kept] @ minutes[kept]))


class Faults:
    """Once a minute a process is stopped for a while or killed, at a moment by chance."""

    def __init__(self, server: Server, begin_s: int, kills_until_s: int, seed: int) -> None:
        """Begin to wait.

        Args:
            begin_s: seconds until the first.
            kills_until_s: seconds after which the services are killed no more, but stopped, so that
                the memory of one process can be watched for long.
            seed: of chance.
        """
        self._server, self._begin_s, self._chance = server, begin_s, random.Random(seed)
        self._kills_until = time.monotonic() + kills_until_s
        self._stopping, self.done = threading.Event(), list[str]()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._stopping.wait(self._begin_s)
        while not self._stopping.wait(60 * (0.7 + 0.6 * self._chance.random())):
            is_lookup = self._chance.random() < AT_LOOKUPS
            one = self._server.lookup if is_lookup else self._server.services
            is_killed = self._chance.random() < KILLED
            if not is_lookup and time.monotonic() > self._kills_until:
                is_killed = False
            if is_killed:
                one.kill()
            else:
                one.stop_for(1 + 4 * self._chance.random())
            self.done.append(
                f"{'SIGKILL' if is_killed else 'SIGSTOP'} {'lookup' if is_lookup else 'services'}"
            )

    def stop(self) -> None:
        """No more; the processes run."""
        self._stopping.set()
        self._thread.join()

"""Several processes that answer on one port; one that dies is begun anew."""

import contextlib
import gc
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType

from services.common import allocation
from services.common.ending import Ending

log = logging.getLogger(__name__)

Starting = Callable[[str, int], Callable[[], None]]
"""Begins to serve on an address as one of the processes, counted from 0; returns what ends it.
Called in the new process. One that is begun anew has the place of the one that died."""

READY_S = 60
LOOK_S = 1.0
"""A process looks so often whether its parent lives, and gives back what it does not need."""
AGAIN_S = 1.0
"""A process that dies is begun anew, but none twice within this time."""


def serve(address: str, count: int, start: Starting) -> int:
    """Serve with so many processes until SIGTERM or SIGINT; the exit code.

    The processes are forked before any of them opens gRPC, which does not outlive a fork.
    """
    ending = False

    def end(_signum: int, _frame: FrameType | None) -> None:
        nonlocal ending
        ending = True

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, end)
    with _reserved(address) as address_:
        gc.collect()
        allocation.give_back()
        gc.freeze()  # what is there now is shared with the processes, as nothing touches it
        begun: dict[int, tuple[int, float]] = {}
        for place in range(count):
            pid = _begin(address_, place, start)
            if not pid:
                _end_all(begun)
                return 1
            begun[pid] = (place, time.monotonic())
        allocation.forget_files()
        print(f"serving on {address_}", flush=True)
        while not ending:
            with contextlib.suppress(InterruptedError):
                time.sleep(0.1)
            for pid in [pid for pid in begun if os.waitpid(pid, os.WNOHANG)[0]]:
                place, since = begun.pop(pid)
                age_s = time.monotonic() - since
                if ending:
                    break
                log.warning("a lookup process ended and is begun anew")
                time.sleep(max(AGAIN_S - age_s, 0))
                if again := _begin(address_, place, start):
                    begun[again] = (place, time.monotonic())
        _end_all(begun)
    return 0


@contextmanager
def _reserved(address: str) -> Iterator[str]:
    """The address with its port, held for processes that listen on it together."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host.strip("[]"), int(port)))
        yield f"{host}:{held.getsockname()[1]}"


def _begin(address: str, place: int, start: Starting) -> int:
    """Fork a process and wait until it serves; 0 if it does not."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(readable)
        os._exit(_run(address, place, start, writable))
    os.close(writable)
    ready, _, _ = select.select([readable], [], [], READY_S)
    is_ready = bool(ready) and os.read(readable, 1) == b"1"
    os.close(readable)
    if not is_ready:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return pid if is_ready else 0


def _run(address: str, place: int, start: Starting, writable: int) -> int:
    stop = Ending()
    try:
        end = start(address, place)
    except Exception as error:
        print(f"cannot serve on {address}: {error}", file=sys.stderr, flush=True)
        return 1
    os.write(writable, b"1")
    os.close(writable)
    parent = os.getppid()

    def is_over(within_s: float) -> bool:
        # Where the parent was killed, nobody would end us.
        return stop.wait(within_s) or os.getppid() != parent

    allocation.give_back_until(is_over, LOOK_S)
    end()
    return 0


def _end_all(begun: Collection[int]) -> None:
    for pid in begun:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    for pid in begun:
        os.waitpid(pid, 0)

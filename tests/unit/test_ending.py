"""A process told to end hears of it, whatever its main thread does at that moment."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from services.common.ending import Ending

ROUNDS = 5_000
STORM = f"""
import os, random, signal
from services.common.ending import Ending

for _ in range({ROUNDS}):
    ending = Ending()
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 6e-5))
    assert ending.wait(20)
    signal.set_wakeup_fd(-1)
    os.close(ending._readable), os.close(ending._writable)
print("all heard")
"""


@pytest.fixture
def ending() -> Iterator[Ending]:
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    made = Ending()
    yield made
    signal.set_wakeup_fd(-1)
    for signum, handler in before.items():
        signal.signal(signum, handler)
    os.close(made._readable)
    os.close(made._writable)


def test_no_signal_is_no_end(ending: Ending) -> None:
    assert not ending.is_set()
    assert not ending.wait(0.01)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_heard_once_and_for_all(ending: Ending, signum: signal.Signals) -> None:
    signal.raise_signal(signum)
    assert ending.is_set()
    assert ending.wait()
    assert ending.wait(0)


def test_a_signal_ends_a_wait_in_another_thread(ending: Ending) -> None:
    heard: list[bool] = []
    thread = threading.Thread(target=lambda: heard.append(ending.wait(60)))
    thread.start()
    os.kill(os.getpid(), signal.SIGTERM)
    thread.join(60)
    assert heard == [True]


def test_more_signals_than_a_pipe_holds_do_no_harm(ending: Ending) -> None:
    for _ in range(70_000):
        signal.raise_signal(signal.SIGTERM)
    assert ending.is_set()


def test_a_signal_between_any_two_steps_of_a_wait_is_heard() -> None:
    # With threading.Event in its place this stood still within the first few thousand.
    done = subprocess.run(
        [sys.executable, "-c", STORM], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "all heard\n", done.stderr

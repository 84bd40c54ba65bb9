"""Servers in processes of their own, for benchmarks."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil

ROOT = Path(__file__).parents[1]
READY_S = 300


@contextmanager
def started(
    arguments: list[str], variables: dict[str, str]
) -> Iterator[tuple[psutil.Process, str]]:
    """A process that prints "serving on ADDRESS", and that address."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("serving on "):
            raise RuntimeError(f"{arguments} did not start: {line!r}")
        address = line.split()[-1]
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(READY_S)
        yield psutil.Process(process.pid), address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def resident_mib(process: psutil.Process) -> float:
    """Resident memory in MiB."""
    return process.memory_info().rss / 2**20


def proportional_mib(processes: list[psutil.Process]) -> float:
    """Resident memory of processes together in MiB; what they share is counted once."""
    return sum(process.memory_full_info().pss for process in processes) / 2**20

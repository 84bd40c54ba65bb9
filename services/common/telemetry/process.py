"""What every process knows of itself: memory, processor time, room on its disks."""

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from services.common.telemetry import names
from services.common.telemetry.readings import Read, Value

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def process_values() -> Iterable[Value]:
    """Memory and processor time."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        yield Value(names.MEMORY, int(pages.read_text().split()[1]) * _PAGE_BYTES)
    yield Value(names.CPU, time.process_time())


def disk_values(volumes: Mapping[str, Path]) -> Read:
    """Room on the file systems of some folders, by name; those not there yet are left out."""

    def read() -> Iterable[Value]:
        for name, folder in volumes.items():
            if folder.exists():
                found = os.statvfs(folder)
                yield Value(names.DISK_FREE, found.f_bavail * found.f_frsize, (name,))
                yield Value(names.DISK_SIZE, found.f_blocks * found.f_frsize, (name,))

    return read

"""What a process keeps of memory that it does not use: what was freed, and what was read of files.

To be imported before Arrow and the engine of the store, which ask the environment when they are
loaded. Arrow takes its memory from the allocator of C then, too, for its own keeps 100 MiB of what
was freed. The engine's own, jemalloc, keeps what was freed for a second, not for five
(docs/decisions.md).
"""

import ctypes
import mmap
import os
import re
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
os.environ.setdefault("JE_MALLOC_CONF", "dirty_decay_ms:1000")
GIVE_BACK_S = 5.0
ARRAY_BYTES = 64 << 10
"""Half of what 16,384 marks take in a column: such arrays are not put between what is kept."""
COMMAND_ARRAY_BYTES = 1 << 20
"""The same for a command that ends with its work: a tenth faster than with smaller ones."""
TOP_BYTES = 8 << 20
"""Free at the end of the heap, for the next moment like the last."""
_MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENA_MAX = -3, -1, -8
"""Options of mallopt(3) of glibc."""


_MAPPING = re.compile(
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) r-[-x]p \S+ \S+ [1-9]\d* .*\n"
    r"(?:[A-Z]\w+: .*\n)*?Anonymous: +0 kB$",
    re.MULTILINE,
)
"""In proc_pid_smaps(5), what is mapped of a file, cannot be written and never was."""


def keep_little(array_bytes: int = ARRAY_BYTES, top_bytes: int = TOP_BYTES) -> None:
    """Have most of what large arrays and messages took given back, not kept for the next.

    Threads have an arena of the allocator each, up to eight a core, and each arena keeps what its
    largest moment took: a process that works steadily would grow for half an hour. To be called
    before threads begin; what the environment says stands; without glibc it does nothing.

    Args:
        array_bytes: from so many on, each piece of memory is mapped by itself and given back when
            it is freed.
        top_bytes: so much may be free at the end of the heap.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for variable, option, value in (
        ("MALLOC_MMAP_THRESHOLD_", _MMAP_THRESHOLD, array_bytes),
        ("MALLOC_TRIM_THRESHOLD_", _TRIM_THRESHOLD, top_bytes),
        ("MALLOC_ARENA_MAX", _ARENA_MAX, 2),
    ):
        if variable not in os.environ:
            mallopt(option, value)


def give_back() -> None:
    """Give freed memory back to the system: whole pages between what is kept, too.

    malloc_trim(3) takes a few milliseconds; without glibc it does nothing.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def give_back_until(wait: Callable[[float], bool], every_s: float = GIVE_BACK_S) -> None:
    """Wait until `wait` says that it is over, and from time to time give freed memory back.

    What is free between what is kept would stay: with 120 MiB in use, the arenas grew from 160 to
    205 within three minutes of 3,500 marks a second.

    Args:
        wait: waits so many seconds at most; whether it is over.
        every_s: with a heap of 10 MiB it takes less than a millisecond.
    """
    while not wait(every_s):
        give_back()


def forget_files() -> None:
    """Unmap what is resident of files that cannot be written; what is read again comes back.

    Most of it is code of libraries that was read when they were loaded: 40 MB in a process that
    from then on waits for others. Without proc(5) it does nothing.
    """
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    smaps = Path("/proc/self/smaps")
    if madvise is None or not smaps.exists():
        return
    for found in _MAPPING.finditer(smaps.read_text()):
        start, end = int(found["start"], 16), int(found["end"], 16)
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)

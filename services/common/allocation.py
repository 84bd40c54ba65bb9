"""How much of what was freed the allocator of C keeps for later.

To be imported before Arrow, which asks the environment when it is loaded: Arrow takes its memory
from the allocator of C then, too, for its own keeps 100 MiB of what was freed.
"""

import ctypes
import os
from collections.abc import Callable

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
GIVE_BACK_S = 20.0
_OPTIONS = {
    "MALLOC_MMAP_THRESHOLD_": (-3, 512 << 10),
    "MALLOC_TRIM_THRESHOLD_": (-1, 8 << 20),
    "MALLOC_ARENA_MAX": (-8, 2),
}
"""By the variable that decides them too: number and value for mallopt(3) of glibc."""


def keep_little() -> None:
    """Have most of what large arrays and messages took given back, not kept for the next.

    Threads have an arena of the allocator each, up to eight a core, and each arena keeps what its
    largest moment took: a process that works steadily would grow for half an hour. To be called
    before threads begin; what the environment says stands; without glibc it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for variable, (option, value) in _OPTIONS.items():
        if variable not in os.environ:
            mallopt(option, value)


def give_back_until(wait: Callable[[float], bool]) -> None:
    """Wait until `wait` says that it is over; every GIVE_BACK_S give freed memory back.

    What is free between what is kept would stay: with 120 MiB in use, the arenas grew from 160 to
    205 within three minutes of 3,500 marks a second. malloc_trim(3) gives whole pages of it back
    in a few milliseconds. Without glibc it only waits.

    Args:
        wait: waits so many seconds at most; whether it is over.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while not wait(GIVE_BACK_S):
        if trim is not None:
            trim(0)

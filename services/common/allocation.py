"""How much of what was freed the allocator of C keeps for later."""

import ctypes
import os

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

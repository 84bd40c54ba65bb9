"""Threads share the allocator's arenas, unless the environment says otherwise, what lies free
between what is kept is given back, and code that was read can be read again."""

import os
import subprocess
import sys

ARENAS = """
import ctypes
import sys
import threading

from services.common import allocation

allocation.keep_little()
turn = threading.Barrier(8)

def work():
    held = [bytes(1_000) for _ in range(10_000)]
    turn.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
for one in threads:
    one.start()
for one in threads:
    one.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fclose(ctypes.c_void_p(file))
"""


def arenas(path, **variables):
    """Arenas that glibc has told of (malloc_info(3)) after eight threads took memory at once."""
    command = [sys.executable, "-c", ARENAS, str(path)]
    subprocess.run(command, check=True, env={**os.environ, **variables})
    return path.read_text().count("<heap nr=")


SCATTERED = """
import ctypes
import re

from services.common import allocation

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def resident_mib():
    with open("/proc/self/smaps_rollup") as file:
        return int(re.search(r"Rss: +([0-9]+)", file.read())[1]) / 1024

allocation.keep_little()
taken = []
for _ in range(2_667):
    taken.append(libc.malloc(60_000))
    ctypes.memset(ctypes.c_void_p(taken[-1]), 1, 60_000)
    libc.malloc(64)  # kept, so that nothing at the end of the heap is free
before = resident_mib()
for one in taken:
    libc.free(ctypes.c_void_p(one))
freed = resident_mib()
rounds = iter([False, True])
allocation.give_back_until(lambda within_s: next(rounds))
print(before - freed, before - resident_mib())
"""


LOADED = """
import re

import pyarrow.compute

from services.common import allocation

def resident_mib():
    with open("/proc/self/smaps_rollup") as file:
        told = file.read()
    return [int(re.search(name + r": +([0-9]+)", told)[1]) / 1024 for name in ("Rss", "Anonymous")]

def answer():
    return pyarrow.compute.sum(pyarrow.array([1, 2, 3])).as_py()

first = answer()
before, own = resident_mib()
allocation.forget_files()
after, still_own = resident_mib()
print(before - after, own - still_own, first, answer())
"""


def test_eight_threads_have_two_arenas(tmp_path):
    assert arenas(tmp_path / "told") == 2


def test_what_the_environment_says_stands(tmp_path):
    assert arenas(tmp_path / "told", MALLOC_ARENA_MAX="5") > 2


def test_what_is_free_between_what_is_kept_is_given_back():
    done = subprocess.run(
        [sys.executable, "-c", SCATTERED], check=True, capture_output=True, text=True
    )
    by_itself, given_back = map(float, done.stdout.split())

    assert by_itself < 10
    assert given_back > 140  # of 153 MiB


def test_code_that_was_read_is_forgotten_and_still_runs():
    done = subprocess.run(
        [sys.executable, "-c", LOADED], check=True, capture_output=True, text=True
    )
    forgotten, lost, first, again = map(float, done.stdout.split())

    assert forgotten > 15
    assert lost <= 0
    assert (first, again) == (6, 6)


def test_arrow_takes_its_memory_from_the_allocator_of_c():
    told = "import services.__main__, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    without = {k: v for k, v in os.environ.items() if k != "ARROW_DEFAULT_MEMORY_POOL"}
    done = subprocess.run(
        [sys.executable, "-c", told], check=True, capture_output=True, text=True, env=without
    )

    assert done.stdout.strip() == "system"

"""Threads share the allocator's arenas, unless the environment says otherwise."""

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


def test_eight_threads_have_two_arenas(tmp_path):
    assert arenas(tmp_path / "told") == 2


def test_what_the_environment_says_stands(tmp_path):
    assert arenas(tmp_path / "told", MALLOC_ARENA_MAX="5") > 2

"""Freed memory is given back to the system, and many threads do not each keep a heap."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

PIECES = 1000
PIECE = 100_000

# glibc cannot give back by itself what lies below something that is still used.
PROGRAM = f"""
import ctypes, sys
from whisper_serve.memory import keep_trimmed

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
pieces = [libc.malloc(ctypes.c_size_t({PIECE})) for _ in range({PIECES})]
for piece in pieces:
    ctypes.memset(ctypes.c_void_p(piece), 1, {PIECE})
for piece in pieces[:-1]:
    libc.free(ctypes.c_void_p(piece))
if sys.argv[1] == "trimmed":
    keep_trimmed(0.05)
print("freed", flush=True)
sys.stdin.read()
"""

# Threads that are all there at the same time, each with memory of its own; glibc tells its heaps on stderr.
THREADS = """
import ctypes, sys, threading
from whisper_serve.memory import share_arenas

if sys.argv[1] == "shared":
    share_arenas()
libc = ctypes.CDLL(None)
all_there = threading.Barrier(8)

def work():
    libc.malloc(ctypes.c_size_t(1000))
    all_there.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_stats()
"""

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps it")


@needs_glibc
def test_threads_share_heaps() -> None:
    def heaps(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", THREADS, how], capture_output=True, text=True, check=True)
        return done.stderr.count("Arena ")

    assert heaps("shared") == 2
    assert heaps("own") > 4


@needs_glibc
def test_freed_memory_is_given_back() -> None:
    kept = memory_after("kept", lambda _: False)
    assert kept > PIECES * PIECE
    trimmed = memory_after("trimmed", lambda held: held < kept - 0.9 * PIECES * PIECE)
    assert trimmed < kept - 0.9 * PIECES * PIECE


def memory_after(how: str, enough: Callable[[int], bool]) -> int:
    """Bytes that the program holds once it is `enough`, or after a while."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "freed\n"
        deadline = time.monotonic() + (0.5 if how == "kept" else 30)
        while not enough(held := psutil.Process(process.pid).memory_info().rss) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.stdin.close()
    return held

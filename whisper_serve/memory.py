"""Memory that was freed, given back to the system.

glibc keeps what a large batch or many uploads once needed, and as it breaks into pieces a process that needs no more
than before grows for hours.
"""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Final

SECONDS: Final = 10.0
"""How long freed memory may stay. To give back and fetch again 100 MB takes 0.06 s of a core: not too often."""

ARENAS: Final = 2
"""Heaps that all threads share. Of one for each, as is usual, some pages are left wherever a thread once worked."""
_M_ARENA_MAX: Final = -8


def share_arenas() -> None:
    """Let threads that begin from now on share few heaps: for a process of many threads that compute little.

    Nothing happens where the C library is not glibc.
    """
    limit = getattr(ctypes.CDLL(None), "mallopt", None)
    if limit is not None:
        limit(_M_ARENA_MAX, ARENAS)


def keep_trimmed(seconds: float = SECONDS) -> None:
    """Give freed memory back every so many seconds, in a thread, for as long as the process lives.

    Nothing happens where the C library is not glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return

    def work() -> None:
        while True:
            time.sleep(seconds)
            trim(ctypes.c_size_t(0))  # Other threads run meanwhile.

    threading.Thread(target=work, name="trim", daemon=True).start()

"""Workers that get no more memory from the system."""

from __future__ import annotations

import time
from functools import partial

import psutil
import pytest

from tests.chaos.trial import Lab, is_whole, workers
from tests.e2e.stack import Stack, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

SHORT_SECONDS = 10
ROOM_BYTES = 8 * 1024**2
"""What the workers still get: less than a window needs."""


def test_memory_is_short(lab: Lab, stack: Stack) -> None:
    wait_until(lambda: is_whole(stack), 120)
    name = f"workers get no more memory for {SHORT_SECONDS} s"
    allowed = ("503 model_unavailable", "422 audio_crashes_model")
    lab.trial(name, stack, lambda: starve(workers(stack)), allowed=allowed, whole=partial(is_whole, stack))


def starve(processes: list[psutil.Process]) -> None:
    """Bound what processes may map to what they have; one that dies of it is replaced by one that is not bound."""
    limits = [(process, process.rlimit(psutil.RLIMIT_AS)) for process in processes]
    for process in processes:
        most = process.memory_info().vms + ROOM_BYTES
        process.rlimit(psutil.RLIMIT_AS, (most, psutil.RLIM_INFINITY))
    time.sleep(SHORT_SECONDS)
    for process, limit in limits:
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            process.rlimit(psutil.RLIMIT_AS, limit)

"""How many cores this process may keep busy."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

CGROUP: Final = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(limit: Path = CGROUP) -> int:
    """Cores that this process may run on, and no more than its container may use; at least 1.

    Args:
        limit: cgroup v2's ``cpu.max``: microseconds of processor time, or ``max``, and the period that they are for.
    """
    cores = len(os.sched_getaffinity(0))
    try:
        time, period = limit.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cores
    return cores if time == "max" else max(1, min(cores, math.ceil(int(time) / int(period))))

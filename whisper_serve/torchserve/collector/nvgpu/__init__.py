"""What TorchServe's collector asks of the package `nvgpu`, from NVML itself.

That package is not maintained any more and brings a web server and pandas; without it the collector ends before it has
told anything, the CPU's load and the memory included. Nothing here raises: what a GPU or its driver does not tell is
left out.
"""

from __future__ import annotations

from typing import Any, Final

import pynvml

from .nvml import read_each

MIB: Final = 1024**2


def gpu_info() -> list[dict[str, Any]]:
    """Of each GPU ``index``, ``mem_used`` in MiB and ``mem_used_percent``."""
    told = enumerate(read_each(_memory))
    return [{"index": str(number), **memory} for number, memory in told if memory]


def _memory(gpu: Any) -> dict[str, Any]:
    memory = [pynvml.nvmlDeviceGetMemoryInfo(part) for part in _parts(gpu)]
    used, total = sum(int(each.used) for each in memory), sum(int(each.total) for each in memory)
    return {"mem_used": used / MIB, "mem_used_percent": 100 * used / total} if total else {}


def _parts(gpu: Any) -> list[Any]:
    """The GPU itself; of one that is cut up (MIG) those of its parts that are visible here."""
    try:
        cut_up = pynvml.nvmlDeviceGetMigMode(gpu)[0] == pynvml.NVML_DEVICE_MIG_ENABLE
    except pynvml.NVMLError:  # It cannot be.
        return [gpu]
    if not cut_up:
        return [gpu]
    parts = []
    for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
        try:
            parts.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, number))
        except pynvml.NVMLError_NotFound:
            continue
    return parts

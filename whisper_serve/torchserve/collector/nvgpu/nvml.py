"""Going through the GPUs by NVML."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pynvml


def read_each(read: Callable[[Any], dict[str, Any]]) -> list[dict[str, Any] | None]:
    """What ``read`` makes of each GPU's handle; None where a GPU does not tell it. No list where there is no driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return _untold(error)
    try:
        return [_read(read, number) for number in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        return _untold(error)
    finally:
        pynvml.nvmlShutdown()


def _read(read: Callable[[Any], dict[str, Any]], number: int) -> dict[str, Any] | None:
    try:
        return read(pynvml.nvmlDeviceGetHandleByIndex(number))
    except pynvml.NVMLError_NotSupported:  # A GPU that is cut up does not tell all, and that is no news.
        return None
    except pynvml.NVMLError as error:
        _untold(f"{error} (GPU {number})")
        return None


def _untold(error: object) -> list[dict[str, Any] | None]:
    """On standard output the collector's metrics are expected; TorchServe logs what is on standard error."""
    sys.stderr.write(f"GPUs do not tell how they are: {error}\n")
    return []

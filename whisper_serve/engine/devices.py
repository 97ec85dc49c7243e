"""Where a model computes, and in which number type."""

from __future__ import annotations

from typing import Literal

import torch

DeviceName = str
DtypeName = Literal["auto", "float32", "float16", "bfloat16"]


class DeviceError(ValueError):
    """A device that is not there, or a type that is not known; the message names it and what there is."""


def resolve_device(name: DeviceName) -> torch.device:
    """``auto`` → the first GPU, or the CPU. Raises DeviceError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', not {name!r}") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', not {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"device {name!r} is not there: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def resolve_dtype(name: DtypeName, device: torch.device) -> torch.dtype:
    """``auto`` → float32 on CPU, bfloat16 on GPUs that compute in it, float16 on older ones."""
    known = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if name in known:
        return known[name]
    if name != "auto":
        raise DeviceError(f"dtype must be 'auto' or one of {', '.join(known)}, not {name!r}")
    if device.type == "cpu":
        return torch.float32
    # Ampere (compute capability 8) is the first with bfloat16 arithmetic; older ones emulate it slowly.
    return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16

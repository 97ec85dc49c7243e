"""Where a model computes, and in which number type."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from . import int8

DeviceName = str
DtypeName = str
DTYPES: Final = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class Precision(NamedTuple):
    """The type that is computed in, and which integers help: see `WhisperModel.speed_up`."""

    dtype: torch.dtype
    fast: bool = False
    int8: bool = False


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


def resolve_precision(name: DtypeName, device: torch.device) -> Precision:
    """``auto`` → bfloat16 on GPUs that compute in it, else float16; on a CPU float32, sped up where it can be.

    Raises:
        DeviceError: the type is not known, or not to be had on this device.
    """
    if name in DTYPES:
        return Precision(DTYPES[name])
    if name == "int8":
        if device.type != "cpu" or not int8.available():
            raise DeviceError("dtype 'int8' is for x86 CPUs: use 'auto'")
        return Precision(torch.float32, fast=True, int8=True)
    if name != "auto":
        raise DeviceError(f"dtype must be 'auto' or one of {', '.join(DTYPES)}, int8, not {name!r}")
    if device.type == "cpu":
        return Precision(torch.float32, fast=int8.available())
    # Ampere (compute capability 8) is the first with bfloat16 arithmetic; older ones emulate it slowly.
    return Precision(torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16)


def resolve_graphs(wanted: bool | None, device: torch.device) -> bool:
    """``None`` → wherever there are CUDA graphs. Raises DeviceError where they are wanted, and there are none."""
    if wanted and device.type != "cuda":
        raise DeviceError(f"graphs are for CUDA devices, not {str(device)!r}")
    return device.type == "cuda" and wanted is not False


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy from the host to a device, without waiting for what a GPU is at."""
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error of PyTorch says that memory did not suffice."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def release_memory(device: torch.device) -> None:
    """Give back what PyTorch keeps of a GPU's memory without using it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()

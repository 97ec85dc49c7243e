from __future__ import annotations

import pytest
import torch

from whisper_serve.engine import int8
from whisper_serve.engine.devices import DeviceError, Precision, resolve_device, resolve_precision


def test_devices_and_types_are_named_and_checked() -> None:
    cpu = resolve_device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda")
    assert resolve_precision("auto", cpu) == Precision(torch.float32, fast=int8.available())
    assert resolve_precision("float32", cpu) == Precision(torch.float32)
    assert resolve_precision("bfloat16", cpu) == Precision(torch.bfloat16)
    with pytest.raises(DeviceError, match="not 'tpu'"):
        resolve_device("tpu")
    with pytest.raises(DeviceError, match="not 'mps'"):
        resolve_device("mps")
    with pytest.raises(DeviceError, match="CUDA devices"):
        resolve_device("cuda:99")
    with pytest.raises(DeviceError, match="x86 CPUs"):
        resolve_precision("int8", torch.device("cuda"))
    with pytest.raises(DeviceError, match="not 'int3'"):
        resolve_precision("int3", cpu)

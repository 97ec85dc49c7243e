from __future__ import annotations

import pytest
import torch

from whisper_serve.engine.devices import DeviceError, resolve_device, resolve_dtype


def test_devices_and_types_are_named_and_checked() -> None:
    cpu = resolve_device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda")
    assert resolve_dtype("auto", cpu) is torch.float32
    assert resolve_dtype("bfloat16", cpu) is torch.bfloat16
    with pytest.raises(DeviceError, match="not 'tpu'"):
        resolve_device("tpu")
    with pytest.raises(DeviceError, match="not 'mps'"):
        resolve_device("mps")
    with pytest.raises(DeviceError, match="CUDA devices"):
        resolve_device("cuda:99")
    with pytest.raises(DeviceError, match="not 'int3'"):
        resolve_dtype("int3", cpu)  # type: ignore[arg-type]

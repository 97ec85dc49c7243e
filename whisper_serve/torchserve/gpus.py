"""How many GPUs TorchServe's workers can use."""

from __future__ import annotations

import os
from collections.abc import Mapping


def visible_gpus(environment: Mapping[str, str] = os.environ) -> int:
    """The number of NVIDIA GPUs, as far as CUDA_VISIBLE_DEVICES shows them; 0 without a driver.

    Asks the driver's management library: importing torch for it would cost seconds and a CUDA context.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
        present = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return 0
    shown = environment.get("CUDA_VISIBLE_DEVICES")
    if shown is None:
        return int(present)
    return len([device for device in shown.split(",") if device.strip() not in ("", "-1")])

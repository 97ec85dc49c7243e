"""How busy GPUs are."""

from __future__ import annotations

from typing import Any

import pynvml

from .nvml import read_each


def device_statuses() -> list[dict[str, Any]]:
    """Of each GPU ``utilization`` in percent; of none where one does not tell it, since the collector counts them."""
    told = read_each(_utilization)
    return [status for status in told if status] if None not in told else []


def _utilization(gpu: Any) -> dict[str, Any]:
    return {"utilization": int(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu)}

"""The machine that was measured on."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from whisper_serve.cores import usable_cores


@dataclass(frozen=True, slots=True)
class Machine:
    cpu: str
    cores: int
    """Those that this process may use."""
    threads: int
    python: str
    torch: str
    gpu: str | None = None

    def __str__(self) -> str:
        where = f"{self.gpu}, " if self.gpu else ""
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        return f"{where}{self.cpu}, {cores}, {self.threads} threads; Python {self.python}, PyTorch {self.torch}"


def this_machine(threads: int | None, device: str) -> Machine:
    """This machine; its GPU is told if ``device`` is one. ``threads``: None for those that PyTorch uses here."""
    gpu = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    threads = threads or torch.get_num_threads()
    return Machine(_cpu(), usable_cores(), threads, platform.python_version(), torch.__version__, gpu)


def _cpu(path: Path = Path("/proc/cpuinfo")) -> str:
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

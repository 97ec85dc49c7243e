"""TorchServe's own collector of system metrics where it is told of GPUs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch
from ts.metrics import metric_collector

from whisper_serve.torchserve.collector.nvgpu import gpu_info
from whisper_serve.torchserve.collector.nvgpu.list_gpus import device_statuses
from whisper_serve.torchserve.java import Java
from whisper_serve.torchserve.process import server_environment
from whisper_serve.torchserve.workspace import Workspace

MIB = 1024**2
WHOLE, CUT_UP, PARTS = "whole", "cut up", ("part 0", "part 2")


def collect(gpus: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """What the collector says with the environment that TorchServe has."""
    with Workspace(folder) as workspace:
        environment = server_environment(Java(Path("/none/bin/java"), 17), workspace, os.environ)
        command = [sys.executable, metric_collector.__file__, "--gpu", str(gpus)]
        return subprocess.run(
            command, env=environment, input="", capture_output=True, text=True, timeout=60, check=True
        )


def test_a_server_whose_gpus_cannot_be_watched_tells_the_rest(tmp_path: Path) -> None:
    done = collect(1, tmp_path)
    for name in ("CPUUtilization", "MemoryUsed", "DiskUsage"):
        assert f"{name}." in done.stdout
    if not torch.cuda.is_available():
        assert done.stderr == "GPUs do not tell how they are: NVML Shared Library Not Found\n" * 2
        assert "GPU" not in done.stdout


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_is_told(tmp_path: Path) -> None:
    held = torch.ones(256 * MIB, dtype=torch.uint8, device="cuda")
    told = collect(1, tmp_path).stdout
    used = re.search(r"^GPUMemoryUsed\.MB:([\d.]+)\|#Level:Host,device_id:0", told, re.MULTILINE)
    assert used
    assert float(used[1]) >= held.nbytes / MIB
    assert re.search(r"^GPUMemoryUtilization\.percent:[\d.]+\|#Level:Host,device_id:0", told, re.MULTILINE)
    assert re.search(r"^GPUUtilization\.percent:\d+\|#Level:Host,device_id:0", told, re.MULTILINE)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A driver with GPUs, for machines that have none: `WHOLE`, or `CUT_UP` into `PARTS`."""

    def install(*gpus: str) -> None:
        def part(_gpu: str, number: int) -> str:
            if f"part {number}" not in PARTS:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
            return f"part {number}"

        def whole_only(answer: Any) -> Callable[[str], Any]:
            def ask(gpu: str) -> Any:
                if gpu == CUT_UP:
                    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
                return answer

            return ask

        def memory(gpu: str) -> Any:
            return SimpleNamespace(used=(20 if gpu == WHOLE else 5) * MIB, total=(80 if gpu == WHOLE else 10) * MIB)

        for name, function in {
            "Init": lambda: None,
            "Shutdown": lambda: None,
            "DeviceGetCount": lambda: len(gpus),
            "DeviceGetHandleByIndex": lambda number: gpus[number],
            "DeviceGetMigMode": lambda gpu: (int(gpu == CUT_UP), 0),
            "DeviceGetMaxMigDeviceCount": lambda _gpu: 7,
            "DeviceGetMigDeviceHandleByIndex": part,
            "DeviceGetMemoryInfo": memory,
            "DeviceGetUtilizationRates": whole_only(SimpleNamespace(gpu=37)),
        }.items():
            monkeypatch.setattr(pynvml, f"nvml{name}", function)

    return install


def test_every_gpu_tells_its_memory_and_how_busy_it_is(driver: Callable[..., None]) -> None:
    driver(WHOLE, WHOLE)
    assert gpu_info() == [{"index": str(n), "mem_used": 20, "mem_used_percent": 25} for n in range(2)]
    assert device_statuses() == [{"utilization": 37}] * 2


def test_of_a_gpu_that_is_cut_up_the_memory_of_its_parts_is_told(
    driver: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    driver(CUT_UP, WHOLE)
    assert gpu_info()[0] == {"index": "0", "mem_used": 10, "mem_used_percent": 50}
    # The collector numbers them by their place.
    assert device_statuses() == []
    assert capsys.readouterr() == ("", "")

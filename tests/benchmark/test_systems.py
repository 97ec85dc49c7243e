from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from whisper_serve.benchmark.errors import BadPlan, Unavailable
from whisper_serve.benchmark.systems import SYSTEMS, Setup, chosen, command
from whisper_serve.benchmark.worker import KINDS, Settings

SETUP = Setup("random:tiny", "cpu", threads=2, tokens=None, peers=Path("none"), store=Path("store"))


def test_by_default_all_of_a_device_are_chosen() -> None:
    on_cpu, on_gpu = ({one.name for one in chosen("", device)} for device in ("cpu", "cuda:0"))
    assert {"engine-int8", "faster-whisper-int8", "openai-whisper", "gateway"} <= on_cpu
    assert {"engine", "faster-whisper-float16-batch8", "torchserve"} <= on_gpu
    assert not {"engine-int8", "faster-whisper-float32"} & on_gpu


def test_those_asked_for_come_in_the_order_of_the_table() -> None:
    assert [one.name for one in chosen("gateway, engine-int8,", "cpu")] == ["engine-int8", "gateway"]
    with pytest.raises(BadPlan, match=r"unknown system abacus: there are engine, engine-int8"):
        chosen("engine-int8,abacus", "cpu")


def test_workers_are_told_what_they_know() -> None:
    for system in SYSTEMS.values():
        if system.kind not in ("faster-whisper", "transformers"):
            setup = replace(SETUP, device=system.devices[0])
            settings = Settings(**json.loads(command(system, setup)[-1]))
            assert settings.kind in KINDS
            assert (settings.dtype, settings.threads) == (system.dtype, 2)
            assert (settings.words, settings.beam_size) == (system.words, system.beam_size)


@pytest.mark.parametrize(
    ("name", "setup", "reason"),
    [
        ("faster-whisper-float16", SETUP, "it is for cuda only"),
        ("faster-whisper-int8", SETUP, "the base model only, not random:tiny"),
        ("faster-whisper-int8", replace(SETUP, model="trial"), "no environment none: `make bench`"),
        ("gateway", replace(SETUP, tokens=5), "cannot be told how many tokens"),
    ],
)
def test_what_cannot_run_here_says_why(name: str, setup: Setup, reason: str) -> None:
    with pytest.raises(Unavailable, match=reason):
        command(SYSTEMS[name], setup)

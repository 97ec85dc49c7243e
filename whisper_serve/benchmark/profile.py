"""Where the engine's time goes: its phases, and the operators that cost most."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch.profiler import ProfilerActivity, profile

from whisper_serve.benchmark.machine import Machine, this_machine
from whisper_serve.benchmark.systems import LANGUAGE
from whisper_serve.benchmark.workload import gather
from whisper_serve.engine import resolve_device
from whisper_serve.engine.phases import DECODER_STEP, PREFIX
from whisper_serve.engine.weights import load_weights
from whisper_serve.evaluation.corpus import Sample, read_corpus
from whisper_serve.evaluation.systems import EngineSystem

OPERATORS: Final = 10
"""Operators that are listed."""
SYNCS: Final = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
"""Calls by which the host waits for a GPU."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What something took: on a GPU the time of its kernels, else that of the thread that called it."""

    name: str
    calls: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Profile:
    """One transcription of a recording."""

    machine: Machine
    model: str
    device: str
    dtype: str
    audio_seconds: float
    seconds: float
    phases: tuple[Cost, ...]
    operators: tuple[Cost, ...]
    syncs: int | None
    """How often the host waited for the GPU."""

    @property
    def syncs_per_step(self) -> float | None:
        steps = next((phase.calls for phase in self.phases if phase.name == DECODER_STEP), 0)
        return None if self.syncs is None or not steps else self.syncs / steps


def profile_engine(corpus: Path, model: str, device: str, dtype: str, minutes: float, tokens: int | None) -> Profile:
    """Transcribe the benchmark's recording once to warm up, and once under PyTorch's profiler.

    Raises:
        CorpusError: the corpus cannot be read, or nothing in it is of use.
        DeviceError: the device is not there.
        WeightsError: the model cannot be loaded.
    """
    where = resolve_device(device)
    with tempfile.TemporaryDirectory(prefix="ws") as scratch:
        material = gather(read_corpus(corpus), LANGUAGE, minutes * 60, Path(scratch))
        sample = Sample(material.joined.name, material.joined, LANGUAGE, material.transcript)
        system = EngineSystem(load_weights(model), str(where), dtype, tokens=tokens)
        system.transcribe([sample], "transcribe", lambda _: None)
        on_gpu = where.type == "cuda"
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
        with profile(activities=activities) as taken:
            heard = system.transcribe([sample], "transcribe", lambda _: None)
    averages = list(taken.key_averages())
    return Profile(
        machine=this_machine(None, str(where)),
        model=model,
        device=str(where),
        dtype=dtype,
        audio_seconds=material.joined_seconds,
        seconds=heard.seconds,
        phases=_phases(averages, on_gpu=on_gpu),
        operators=_operators(averages, on_gpu=on_gpu),
        syncs=sum(one.count for one in averages if one.key in SYNCS) if on_gpu else None,
    )


def _phases(averages: Sequence[Any], *, on_gpu: bool) -> tuple[Cost, ...]:
    found = [
        Cost(one.key.removeprefix(PREFIX), one.count, (one.device_time_total if on_gpu else one.cpu_time_total) / 1e6)
        for one in averages
        if one.key.startswith(PREFIX) and one.cpu_time_total
    ]
    return tuple(sorted(found, key=lambda cost: -cost.seconds))


def _operators(averages: Sequence[Any], *, on_gpu: bool) -> tuple[Cost, ...]:
    found = [
        Cost(one.key, one.count, (one.self_device_time_total if on_gpu else one.self_cpu_time_total) / 1e6)
        for one in averages
        if not one.key.startswith(PREFIX)
    ]
    return tuple(sorted(found, key=lambda cost: -cost.seconds)[:OPERATORS])


def markdown(found: Profile) -> str:
    """The profile as two tables."""
    took = f"{found.audio_seconds:.0f} s of audio in {found.seconds:.1f} s"
    heading = f"{found.model} on {found.device}, dtype {found.dtype}, {found.machine}: {took}."
    syncs = found.syncs_per_step
    waits = [] if syncs is None else [f"The host waited for the GPU {syncs:.2f} times a decoder step."]
    tables = (
        _table("phase", found.phases, found.seconds),
        _table("operator, without those it calls", found.operators, found.seconds),
    )
    return "\n\n".join([heading, *tables, *waits])


def _table(title: str, costs: Sequence[Cost], seconds: float) -> str:
    lines = [f"| {title} | calls | s | share |", "| --- | ---: | ---: | ---: |"]
    lines += [
        f"| {one.name} | {one.calls} | {one.seconds:.2f} | {100 * one.seconds / seconds:.0f} % |" for one in costs
    ]
    return "\n".join(lines)

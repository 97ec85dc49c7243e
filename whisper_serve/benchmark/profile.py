"""Where the engine's time goes: its phases, and the operators that cost most."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
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
from whisper_serve.evaluation.systems import EngineSystem, Heard

OPERATORS: Final = 10
"""Operators that are listed."""
SYNCS: Final = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
"""Calls by which the host waits for a GPU."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What something took: on a GPU the GPU's time, else that of the thread that called it."""

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
    busy: float | None = None
    """Seconds that the GPU computed."""

    @property
    def syncs_per_step(self) -> float | None:
        steps = next((phase.calls for phase in self.phases if phase.name == DECODER_STEP), 0)
        return None if self.syncs is None or not steps else self.syncs / steps


def profile_engine(corpus: Path, model: str, device: str, dtype: str, minutes: float, tokens: int | None) -> Profile:
    """Transcribe the benchmark's recording once to warm up, and once under PyTorch's profiler; on a GPU one full batch.

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
        on_gpu = where.type == "cuda"

        def transcribe() -> Heard:
            if on_gpu:  # What the host does before would leave the GPU idle.
                return system.transcribe_full_batches([sample], "transcribe", 1)
            return system.transcribe([sample], "transcribe", lambda _: None)

        transcribe()
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
        with profile(activities=activities) as taken:
            heard = transcribe()
    averages = list(taken.key_averages())
    # On a GPU a graph's kernels belong to no operator: what the GPU says of itself counts.
    measured = [one for one in averages if one.device_type.name == ("CUDA" if on_gpu else "CPU")]
    kernels = [one for one in measured if not one.key.startswith(PREFIX)]
    return Profile(
        machine=this_machine(None, str(where)),
        model=model,
        device=str(where),
        dtype=dtype,
        audio_seconds=material.joined_seconds,
        seconds=heard.seconds,
        phases=_phases(measured, on_gpu=on_gpu),
        operators=_operators(kernels, on_gpu=on_gpu),
        syncs=sum(one.count for one in averages if one.key in SYNCS) if on_gpu else None,
        busy=sum(one.self_device_time_total for one in kernels) / 1e6 if on_gpu else None,
    )


def _phases(measured: Sequence[Any], *, on_gpu: bool) -> tuple[Cost, ...]:
    found = [
        Cost(one.key.removeprefix(PREFIX), one.count, (one.device_time_total if on_gpu else one.cpu_time_total) / 1e6)
        for one in measured
        if one.key.startswith(PREFIX)
    ]
    return _dearest_first(found)


def _operators(measured: Sequence[Any], *, on_gpu: bool) -> tuple[Cost, ...]:
    """Of an operator its own time, without those it calls; kernels of the same shortened name are one."""
    found: dict[str, Cost] = {}
    for one in measured:
        name = short_name(one.key)
        before = found.get(name, Cost(name, 0, 0.0))
        seconds = (one.self_device_time_total if on_gpu else one.self_cpu_time_total) / 1e6
        found[name] = Cost(name, before.calls + one.count, before.seconds + seconds)
    return _dearest_first(found.values())[:OPERATORS]


def _dearest_first(costs: Iterable[Cost]) -> tuple[Cost, ...]:
    return tuple(sorted(costs, key=lambda cost: -cost.seconds))


def short_name(kernel: str) -> str:
    """A kernel's or operator's name without what C++ says of types.

    >>> short_name("void at::native::(anonymous namespace)::layer_norm_kernel<c10::BFloat16, float>(int, float)")
    'layer_norm_kernel'
    >>> short_name("aten::addmm")
    'aten::addmm'
    """
    name = kernel.removeprefix("void ").replace("(anonymous namespace)::", "")
    for bracket in "<(":
        name = name.partition(bracket)[0]
    return name if name == kernel else name.rpartition("::")[2].strip()


def markdown(found: Profile) -> str:
    """The profile as two tables."""
    took = f"{found.audio_seconds:.0f} s of audio in {found.seconds:.2f} s"
    heading = f"{found.model} on {found.device}, dtype {found.dtype}, {found.machine}: {took}."
    syncs = found.syncs_per_step
    waits = [] if syncs is None else [f"The host waited for the GPU {syncs:.2f} times a decoder step."]
    whole = found.busy or found.seconds
    what = "kernel" if found.busy else "operator, without those it calls"
    tables = (_table("phase", found.phases, whole), _table(what, found.operators, whole))
    return "\n\n".join([heading, *tables, *waits])


def _table(title: str, costs: Sequence[Cost], whole: float) -> str:
    lines = [f"| {title} | calls | ms | share |", "| --- | ---: | ---: | ---: |"]
    lines += [
        f"| {one.name} | {one.calls} | {1000 * one.seconds:.1f} | {100 * one.seconds / whole:.0f} % |" for one in costs
    ]
    return "\n".join(lines)

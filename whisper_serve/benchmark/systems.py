"""The systems that can be measured: where each runs, and the command that starts its worker."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from whisper_serve.benchmark.errors import BadPlan, Unavailable
from whisper_serve.benchmark.worker import Settings

Workload = Literal["one recording", "full batches", "requests", "one core"]
REQUESTS_AT_ONCE: Final = {"cpu": 8, "cuda": 64}
"""By the kind of device: as many as keep it busy."""
LANGUAGE: Final = "en"
PEER: Final = Path(__file__).with_name("peer_worker.py")
BASE: Final = ("default", "base", "trial")
"""Models whose weights are OpenAI's base, which is the only one that we have for faster-whisper."""
_CPU, _CUDA = ("cpu",), ("cuda",)
_BOTH = _CPU + _CUDA


@dataclass(frozen=True, slots=True)
class System:
    """One line of the table."""

    name: str
    kind: str
    workload: Workload = "one recording"
    devices: tuple[str, ...] = _BOTH
    dtype: str = "auto"
    words: bool = False
    """Whether the engine finds out when each word was said."""
    beam_size: int | None = None
    batch: int = 0
    """Windows that faster-whisper computes together; 0: one after the other."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What all workers of a benchmark are told."""

    model: str
    device: str
    threads: int
    tokens: int | None
    peers: Path
    """The environment of the systems that do not share ours."""
    store: Path
    """Where a server's archive is built."""

    @property
    def random(self) -> bool:
        return self.model.startswith("random:")


def _faster_whisper(dtype: str, devices: tuple[str, ...]) -> tuple[System, System]:
    name = f"faster-whisper-{dtype}"
    batched = System(f"{name}-batch8", "faster-whisper", devices=devices, dtype=dtype, batch=8)
    return batched, System(name, "faster-whisper", devices=devices, dtype=dtype)


_ALL = (
    System("engine", "engine"),
    System("engine-int8", "engine", devices=_CPU, dtype="int8"),
    System("engine-float32", "engine", dtype="float32"),
    System("engine-words", "engine", words=True),
    System("engine-beam", "engine", beam_size=5),
    System("engine-windows", "windows", "full batches", devices=_CUDA),
    System("openai-whisper", "openai-whisper"),
    *_faster_whisper("int8", _CPU),
    *_faster_whisper("float32", _CPU),
    *_faster_whisper("float16", _CUDA),
    System("transformers-float32", "transformers", devices=_CPU, dtype="float32"),
    System("transformers-float16", "transformers", devices=_CUDA, dtype="float16"),
    System("engine-files", "transcriber", "requests"),
    System("torchserve", "torchserve", "requests"),
    System("gateway", "gateway", "requests"),
    System("speech-detector", "speech-detector", "one core"),
)
SYSTEMS: Mapping[str, System] = {system.name: system for system in _ALL}


def chosen(names: str, device: str) -> list[System]:
    """The systems of a list with commas, in the table's order; of an empty one all that are for the device.

    Raises BadPlan for a name that is not known.
    """
    asked = {name.strip() for name in names.split(",") if name.strip()}
    if unknown := sorted(asked - SYSTEMS.keys()):
        raise BadPlan(f"unknown system {', '.join(unknown)}: there are {', '.join(SYSTEMS)}")
    kind = device.partition(":")[0]
    return [one for one in _ALL if (one.name in asked if asked else kind in one.devices)]


def command(system: System, setup: Setup) -> list[str]:
    """What starts the system's worker. Raises Unavailable with the reason why it cannot run here."""
    if setup.device.partition(":")[0] not in system.devices:
        raise Unavailable(f"it is for {' and '.join(system.devices)} only")
    return _COMMANDS.get(system.kind, _own)(system, setup)


def _own(system: System, setup: Setup) -> list[str]:
    """A worker in this environment."""
    settings = Settings(
        kind=system.kind,
        model=setup.model,
        device=setup.device,
        language=LANGUAGE,
        threads=setup.threads,
        dtype=system.dtype,
        words=system.words,
        beam_size=system.beam_size,
        tokens=setup.tokens,
        store=str(setup.store),
    )
    return [sys.executable, "-m", "whisper_serve.benchmark.worker", json.dumps(asdict(settings))]


def _as_served(system: System, setup: Setup) -> list[str]:
    if setup.tokens is not None:
        raise Unavailable("a server cannot be told how many tokens to decode")
    return _own(system, setup)


def _faster_whisper_worker(system: System, setup: Setup) -> list[str]:
    """A worker with the very same weights as a CTranslate2 folder."""
    from whisper_serve.engine.weights import WeightsError
    from whisper_serve.engine.weights.files import cache_folder
    from whisper_serve.engine.weights.trial import trial_folder

    if setup.model not in BASE:
        raise Unavailable(f"of its format we have the base model only, not {setup.model}")
    try:
        return _peer(system, setup, trial_folder(cache_folder(None), progress=True))
    except WeightsError as error:
        raise Unavailable(str(error)) from error


def _transformers_worker(system: System, setup: Setup) -> list[str]:
    """A worker with the very same weights as a Hugging Face folder."""
    from whisper_serve.benchmark.huggingface_folder import write_folder
    from whisper_serve.engine.weights import WeightsError, load_weights

    folder = setup.store / "transformers"
    try:
        if not folder.exists():
            write_folder(load_weights(setup.model, progress=False), folder)
    except WeightsError as error:
        raise Unavailable(str(error)) from error
    return _peer(system, setup, folder)


def _peer(system: System, setup: Setup, folder: Path) -> list[str]:
    """A worker in the environment of other projects, with the model in that folder."""
    python = setup.peers / "bin" / "python"
    if setup.tokens is not None:
        raise Unavailable("it cannot be told to decode a number of tokens")
    if not python.is_file():
        raise Unavailable(f"there is no environment {setup.peers}: `make bench` installs it")
    settings = {
        "kind": system.kind,
        "folder": str(folder),
        "device": setup.device,
        "dtype": system.dtype,
        "batch": system.batch,
        "language": LANGUAGE,
        "threads": setup.threads,
    }
    # -I: the modules that lie beside the script are not for it.
    return [str(python), "-I", str(PEER), json.dumps(settings)]


_COMMANDS: Mapping[str, Callable[[System, Setup], list[str]]] = {
    "faster-whisper": _faster_whisper_worker,
    "transformers": _transformers_worker,
    "transcriber": _as_served,
    "torchserve": _as_served,
    "gateway": _as_served,
}

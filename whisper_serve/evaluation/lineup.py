"""The systems of an evaluation by their names: what each means, and how it is started."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Final

import torch

from whisper_serve.engine.devices import resolve_precision
from whisper_serve.engine.weights import Weights, load_weights

from .errors import BadSystem
from .server import ServerSystem
from .systems import EngineSystem, OpenAIWhisper, System

ENGINE: Final = "engine"
OPENAI_WHISPER: Final = "openai-whisper"
PEER: Final = "faster-whisper"
BEAMS: Final = re.compile(r"beam([1-9]|10)?")
BEAM_SIZE: Final = 5
"""Of ``engine-beam``: what openai-whisper's command and faster-whisper have by default."""
NAMES: Final = (
    ENGINE,
    f"{ENGINE}-DTYPE",
    f"{ENGINE}-beam",
    f"{ENGINE}-beamN",
    f"{ENGINE}-beamN-DTYPE",
    OPENAI_WHISPER,
    PEER,
    "the http address of a server",
)

Opened = AbstractContextManager[System]


@dataclass(frozen=True, slots=True)
class Entry:
    """A system that takes part."""

    label: str
    """What the tables call it."""
    open: Callable[[], Opened]
    """Start it; it ends with the context. What it raises is the reason why it cannot take part."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What the systems are made with."""

    model: str
    device: str
    """One that is there, such as cpu or cuda:0."""
    dtype: str = "auto"
    fallback: bool = True
    """Decode again at higher temperatures where a text fails, as servers and openai-whisper do by default."""
    key: str | None = None
    """The API key for servers."""


def lineup(names: Sequence[str], setup: Setup, peer: Callable[[str], Opened]) -> list[Entry]:
    """The systems of ``[LABEL=]NAME``, in their order; ``peer`` starts a faster-whisper by its name.

    Raises:
        BadSystem: a name is not known, or two systems would have the same label.
        DeviceError: the device cannot compute in the number type of an engine.
    """
    weights = cache(lambda: load_weights(setup.model))
    entries = []
    for text in names:
        label, name = _labelled(text)
        entries.append(Entry(label, _opener(name, setup, weights, peer)))
    labels = [entry.label for entry in entries]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise BadSystem(f"two systems are called {twice[0]}: give them labels, such as ours={ENGINE}")
    return entries


def _labelled(text: str) -> tuple[str, str]:
    label, equals, name = text.partition("=")
    return (label.strip(), name.strip()) if equals and "://" not in label else (text.strip(), text.strip())


def _opener(
    name: str, setup: Setup, weights: Callable[[], Weights], peer: Callable[[str], Opened]
) -> Callable[[], Opened]:
    kind, *details = name.split("-")
    if name.startswith(("http://", "https://")):
        return lambda: ServerSystem(name, setup.key)
    if name == OPENAI_WHISPER:
        return lambda: _openai_whisper(setup, weights)
    if name.startswith(PEER):
        return lambda: peer(name)
    if kind == ENGINE:
        beams = BEAMS.fullmatch(details[0]) if details else None
        beam_size = int(beams[1] or BEAM_SIZE) if beams else None
        dtype = "-".join(details[1:] if beams else details) or setup.dtype
        resolve_precision(dtype, torch.device(setup.device))
        return lambda: _engine(setup, weights, dtype, beam_size)
    raise BadSystem(f"unknown system {name!r}: there are {', '.join(NAMES)}")


@contextmanager
def _engine(setup: Setup, weights: Callable[[], Weights], dtype: str, beam_size: int | None) -> Iterator[System]:
    yield EngineSystem(weights(), setup.device, dtype, fallback=setup.fallback, beam_size=beam_size)


@contextmanager
def _openai_whisper(setup: Setup, weights: Callable[[], Weights]) -> Iterator[System]:
    fp16 = setup.device.startswith("cuda")
    yield OpenAIWhisper(weights(), setup.device, fallback=setup.fallback, fp16=fp16)

"""The process of one system of this environment: ``python -m whisper_serve.benchmark.worker '{"kind": …}'``.

Each kind imports what it needs when it is loaded, so that the memory that is measured is its own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from whisper_serve.benchmark.protocol import Transcribe, Work, serve

if TYPE_CHECKING:
    from whisper_serve.evaluation.corpus import Sample
    from whisper_serve.evaluation.systems import EngineSystem, Heard, System

BATCHES: Final = 4
"""How many full batches show what the engine alone can do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a worker is told at its start."""

    kind: str
    model: str
    device: str
    language: str
    threads: int
    dtype: str = "auto"
    words: bool = False
    """Find out when each word was said."""
    beam_size: int | None = None
    tokens: int | None = None
    """Decode so many tokens of each window, whatever is said in it."""
    store: str = ""
    """The folder for the archive of a server."""


def _engine_system(settings: Settings) -> EngineSystem:
    from whisper_serve.engine.weights import load_weights
    from whisper_serve.evaluation.systems import EngineSystem

    return EngineSystem(
        load_weights(settings.model, progress=False),
        settings.device,
        settings.dtype,
        tokens=settings.tokens,
        words=settings.words,
        beam_size=settings.beam_size,
    )


@contextmanager
def _engine(settings: Settings) -> Iterator[Transcribe]:
    yield partial(_evaluated, _engine_system(settings), settings.language)


@contextmanager
def _windows(settings: Settings) -> Iterator[Transcribe]:
    """The engine alone, of windows that were cut before."""
    system = _engine_system(settings)

    def transcribe(files: Sequence[Path], _concurrency: int) -> Work:
        return _work(system.transcribe_full_batches(_samples(files, settings.language), "transcribe", BATCHES))

    yield transcribe


@contextmanager
def _openai_whisper(settings: Settings) -> Iterator[Transcribe]:
    from whisper_serve.engine.weights import load_weights
    from whisper_serve.evaluation.systems import OpenAIWhisper

    weights = load_weights(settings.model, progress=False)
    fp16 = settings.device.startswith("cuda")
    system = OpenAIWhisper(weights, settings.device, tokens=settings.tokens, fp16=fp16)
    del weights
    yield partial(_evaluated, system, settings.language)


def _evaluated(system: System, language: str, files: Sequence[Path], _concurrency: int) -> Work:
    return _work(system.transcribe(_samples(files, language), "transcribe", lambda _: None))


def _samples(files: Sequence[Path], language: str) -> list[Sample]:
    from whisper_serve.evaluation.corpus import Sample

    return [Sample(path.name, path, language, "") for path in files]


def _work(heard: Heard) -> Work:
    return Work(heard.values, heard.seconds, heard.tokens, heard.windows, heard.fill)


@contextmanager
def _transcriber(settings: Settings) -> Iterator[Transcribe]:
    """The engine as a server uses it: with fallback, all files together."""
    from whisper_serve.engine import Engine
    from whisper_serve.engine.weights import load_weights
    from whisper_serve.speech import WINDOW_SECONDS, Transcript
    from whisper_serve.transcriber import FileJob, Transcriber
    from whisper_serve.wire import WindowOptions

    weights = load_weights(settings.model, progress=False)
    transcriber = Transcriber(Engine.load(weights, settings.device, settings.dtype))

    def transcribe(files: Sequence[Path], _concurrency: int) -> Work:
        started = time.perf_counter()
        run = transcriber.run([FileJob(path, WindowOptions(language=settings.language)) for path in files])
        seconds = time.perf_counter() - started
        texts = []
        for outcome in run.outcomes:
            if isinstance(outcome, Exception):
                raise outcome
            assert isinstance(outcome, Transcript)
            texts.append(outcome.text)
        counts = run.counts
        fill = counts.audio_seconds / (WINDOW_SECONDS * counts.windows) if counts.windows else None
        return Work(texts, seconds, counts.tokens, counts.windows, fill)

    yield transcribe


@contextmanager
def _served(settings: Settings, *, gateway: bool) -> Iterator[Transcribe]:
    from whisper_serve.benchmark.served import running_server, send

    with running_server(settings.model, settings.device, Path(settings.store), gateway=gateway) as url:
        yield partial(send, url, settings.language)


@contextmanager
def _speech_detector(_: Settings) -> Iterator[Transcribe]:
    """The seconds are those of one core."""
    from whisper_serve.speech import load_audio, speech_spans

    def detect(files: Sequence[Path], _concurrency: int) -> Work:
        recordings = [load_audio(path) for path in files]
        started = time.process_time()
        for audio in recordings:
            list(speech_spans([audio]))
        return Work(["" for _ in files], time.process_time() - started)

    yield detect


KINDS: Mapping[str, Callable[[Settings], AbstractContextManager[Transcribe]]] = {
    "engine": _engine,
    "windows": _windows,
    "openai-whisper": _openai_whisper,
    "transcriber": _transcriber,
    "torchserve": partial(_served, gateway=False),
    "gateway": partial(_served, gateway=True),
    "speech-detector": _speech_detector,
}


def main() -> None:
    settings = Settings(**json.loads(sys.argv[1]))
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings.threads])
    serve(partial(KINDS[settings.kind], settings))


if __name__ == "__main__":
    main()

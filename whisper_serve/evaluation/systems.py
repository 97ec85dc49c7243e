"""The systems of this process: this engine, and openai-whisper on the very same weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, TypeVar

import torch
from whisper.audio import log_mel_spectrogram, pad_or_trim
from whisper.model import ModelDimensions, Whisper

from whisper_serve.conversions import decoding_options, window_transcript
from whisper_serve.engine import FALLBACK_TEMPERATURES, DecodingOptions, Engine
from whisper_serve.engine.options import Task
from whisper_serve.engine.weights import Weights
from whisper_serve.speech import WINDOW_SAMPLES, Joiner, Window, cut_windows, load_audio
from whisper_serve.wire import WindowOptions

from .corpus import Sample

Progress = Callable[[float], None]
"""Called with the number of files that were just done."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Heard:
    """What a system made of some samples: a value for each, and what that took."""

    values: list[str]
    seconds: float
    tokens: int = 0
    windows: int = 0
    """Decodings of up to 30 s; of openai-whisper those that gave text."""
    fill: float | None = None
    """How much of the windows' 30 s was audio, 0 to 1, where it is known."""
    problems: tuple[str, ...] = ()
    """Files that the system could not hear, with the reasons; their values are empty."""


class System(Protocol):
    def transcribe(self, samples: Sequence[Sample], task: Task, progress: Progress) -> Heard:
        """Text of each sample, whose language is told unless nobody speaks in it."""

    def detect(self, samples: Sequence[Sample], progress: Progress) -> Heard:
        """Language code of each sample."""


@dataclass(slots=True)
class _Tally:
    """What the engine's batches amounted to so far."""

    texts: list[str]
    joiners: list[Joiner]
    tokens: int = 0
    windows: int = 0
    samples: int = 0

    @property
    def fill(self) -> float | None:
        return self.samples / (WINDOW_SAMPLES * self.windows) if self.windows else None


class EngineSystem:
    """This engine with its speech detection and batches."""

    def __init__(
        self,
        weights: Weights,
        device: str,
        dtype: str = "auto",
        *,
        fallback: bool = False,
        tokens: int | None = None,
        words: bool = False,
        beam_size: int | None = None,
    ) -> None:
        """Load the engine.

        Args:
            fallback: decode again at higher temperatures where a text fails; else once.
            tokens: the most of a window, which is then decoded without timestamps.
            words: find out when each word was said, which costs time and changes no text.
            beam_size: search with so many beams instead of greedily.
        """
        self._engine = Engine.load(weights, device, dtype)
        self._temperatures = FALLBACK_TEMPERATURES if fallback else (0.0,)
        self._tokens = tokens
        self._words = words
        self.beam_size = beam_size

    def transcribe(self, samples: Sequence[Sample], task: Task, progress: Progress) -> Heard:
        started = time.perf_counter()
        tally = self._decode(samples, _windows(samples, overlap=self._tokens is None), task, progress)
        return Heard(tally.texts, time.perf_counter() - started, tally.tokens, tally.windows, tally.fill)

    def transcribe_full_batches(self, samples: Sequence[Sample], task: Task, batches: int) -> Heard:
        """What the engine alone can do: windows are cut before the time is taken, and fill its batches.

        They are gone through again and again until there are ``batches`` batches; what is told is the mean of once.
        """
        windows = list(_windows(samples, overlap=self._tokens is None))
        times = -(-batches * self._engine.batch_size // len(windows))
        again = [(owner + len(samples) * number, window) for number in range(times) for owner, window in windows]
        started = time.perf_counter()
        tally = self._decode([*samples] * times, again, task, lambda _: None)
        seconds = (time.perf_counter() - started) / times
        return Heard(tally.texts[: len(samples)], seconds, tally.tokens // times, len(windows), tally.fill)

    def _decode(
        self, samples: Sequence[Sample], windows: Iterable[tuple[int, Window]], task: Task, progress: Progress
    ) -> _Tally:
        tally = _Tally(["" for _ in samples], [Joiner(words=False, logprobs=False) for _ in samples])
        done = 0
        # The engine's own batch size may shrink on the way, when memory is short.
        for batch in _batches(windows, self._engine.batch_size):
            options = [self._options(task, samples[owner].told_language, window) for owner, window in batch]
            self._add(tally, batch, options)
            progress(batch[-1][0] - done)  # All before the last window's file are complete.
            done = batch[-1][0]
        progress(len(samples) - done)
        return tally

    def _add(self, tally: _Tally, batch: Sequence[tuple[int, Window]], options: Sequence[DecodingOptions]) -> None:
        windows, owners = [window.audio for _, window in batch], [owner for owner, _ in batch]
        results = self._engine.transcribe(windows, options, owners)
        for (owner, window), result in zip(batch, results, strict=True):
            heard = window_transcript(result)
            final = tally.joiners[owner].add(window.start, window.end, window.overlap_after, heard)
            tally.texts[owner] += "".join(part.text for _, part in final)
            tally.tokens += sum(len(decoding.tokens) for decoding in result.decodings)
        tally.windows += len(windows)
        tally.samples += sum(map(len, windows))

    def _options(self, task: Task, language: str | None, window: Window) -> DecodingOptions:
        asked = WindowOptions(task, language, word_timestamps=self._words or window.overlaps, beam_size=self.beam_size)
        return replace(
            decoding_options(asked),
            temperatures=self._temperatures,
            timestamps=self._tokens is None,
            max_tokens=self._tokens,
        )

    def detect(self, samples: Sequence[Sample], progress: Progress) -> Heard:
        started = time.perf_counter()
        codes = []
        size = self._engine.batch_size
        for first in range(0, len(samples), size):
            batch = samples[first : first + size]
            beginnings = [load_audio(sample.path)[:WINDOW_SAMPLES] for sample in batch]
            codes += [detection.language for detection in self._engine.detect_language(beginnings)]
            progress(len(batch))
        return Heard(codes, time.perf_counter() - started)


class OpenAIWhisper:
    """openai-whisper with its defaults, but greedy unless fallback is asked for."""

    def __init__(
        self,
        weights: Weights,
        device: str,
        *,
        fallback: bool = False,
        tokens: int | None = None,
        fp16: bool = False,
    ) -> None:
        """``fallback`` and ``tokens`` as of EngineSystem; ``fp16``: compute in float16, as it does on a GPU."""
        self._options: dict[str, Any] = {"temperature": FALLBACK_TEMPERATURES if fallback else 0.0, "fp16": fp16}
        if tokens is not None:
            self._options |= {"sample_len": tokens, "without_timestamps": True}
        self._model = Whisper(ModelDimensions(**weights.dimensions.as_dict()))
        self._model.load_state_dict({name: tensor.float() for name, tensor in weights.tensors.items()})
        self._model.to(device).eval()

    def transcribe(self, samples: Sequence[Sample], task: Task, progress: Progress) -> Heard:
        started = time.perf_counter()
        torch.manual_seed(0)  # Fallback samples: the same at every run.
        texts = []
        tokens = windows = 0
        for sample in samples:
            audio = load_audio(sample.path)
            result = self._model.transcribe(audio, task=task, language=sample.told_language, **self._options)
            texts.append(str(result["text"]))
            tokens += sum(len(segment["tokens"]) for segment in result["segments"])
            windows += len({segment["seek"] for segment in result["segments"]})
            progress(1)
        return Heard(texts, time.perf_counter() - started, tokens, windows)

    @torch.inference_mode()
    def detect(self, samples: Sequence[Sample], progress: Progress) -> Heard:
        started = time.perf_counter()
        if not self._model.is_multilingual:
            progress(len(samples))
            return Heard(["en" for _ in samples], time.perf_counter() - started)
        codes = []
        for sample in samples:
            mel = log_mel_spectrogram(pad_or_trim(load_audio(sample.path)), self._model.dims.n_mels)
            _, probabilities = self._model.detect_language(mel.to(self._model.device))
            codes.append(max(probabilities, key=probabilities.__getitem__))
            progress(1)
        return Heard(codes, time.perf_counter() - started)


def _windows(samples: Iterable[Sample], *, overlap: bool) -> Iterator[tuple[int, Window]]:
    """The windows of all samples, each with the number of its sample."""
    for number, sample in enumerate(samples):
        for window in cut_windows([load_audio(sample.path)], overlap=overlap):
            yield number, window


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch

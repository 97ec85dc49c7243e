"""The systems that are compared: this engine, and openai-whisper on the very same weights. Both decode greedily."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from whisper.audio import log_mel_spectrogram, pad_or_trim
from whisper.model import ModelDimensions, Whisper

from whisper_serve.engine import DecodingOptions, Engine
from whisper_serve.engine.options import Task
from whisper_serve.engine.weights import Weights
from whisper_serve.speech import WINDOW_SAMPLES, Audio, cut_windows, load_audio

from .corpus import Sample

Progress = Callable[[float], None]
"""Called with the number of files that were just done."""


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


class System(Protocol):
    name: str

    def transcribe(self, samples: Sequence[Sample], task: Task, progress: Progress) -> Heard:
        """Text of each sample, whose language is told."""

    def detect(self, samples: Sequence[Sample], progress: Progress) -> Heard:
        """Language code of each sample."""


class EngineSystem:
    """This engine with its speech detection and batches."""

    name = "whisper-serve"

    def __init__(self, weights: Weights, device: str, dtype: str = "auto", *, tokens: int | None = None) -> None:
        """``tokens``: the most of a window, which is then decoded once and without timestamps."""
        self._engine = Engine.load(weights, device, dtype)
        self._tokens = tokens

    def transcribe(self, samples: Sequence[Sample], task: Task, progress: Progress) -> Heard:
        started = time.perf_counter()
        owners: list[int] = []
        windows: list[Audio] = []
        for number, sample in enumerate(samples):
            for window in cut_windows([load_audio(sample.path)]):
                owners.append(number)
                windows.append(window.audio)
        texts = ["" for _ in samples]
        tokens = 0
        size = self._engine.batch_size  # The engine's own may shrink on the way, when memory is short.
        for first in range(0, len(windows), size):
            part = slice(first, first + size)
            options = [self._options(task, samples[i].language) for i in owners[part]]
            for owner, result in zip(owners[part], self._engine.transcribe(windows[part], options), strict=True):
                texts[owner] += "".join(segment.text for segment in result.segments)
                tokens += sum(len(decoding.tokens) for decoding in result.decodings)
            progress(len(set(owners[part]) - set(owners[part.stop :])))
        progress(len(set(range(len(samples))) - set(owners)))
        fill = sum(map(len, windows)) / (WINDOW_SAMPLES * len(windows)) if windows else None
        return Heard(texts, time.perf_counter() - started, tokens, len(windows), fill)

    def _options(self, task: Task, language: str) -> DecodingOptions:
        timestamps = self._tokens is None
        return DecodingOptions(task, language, temperatures=(0.0,), timestamps=timestamps, max_tokens=self._tokens)

    def detect(self, samples: Sequence[Sample], progress: Progress) -> Heard:
        started = time.perf_counter()
        codes = []
        size = self._engine.batch_size
        for first in range(0, len(samples), size):
            batch = samples[first : first + size]
            beginnings = [load_audio(sample.path)[:480_000] for sample in batch]
            codes += [detection.language for detection in self._engine.detect_language(beginnings)]
            progress(len(batch))
        return Heard(codes, time.perf_counter() - started)


class OpenAIWhisper:
    """openai-whisper with its defaults, but without temperature fallback, whose sampling is random."""

    name = "openai-whisper"

    def __init__(self, weights: Weights, device: str, *, tokens: int | None = None, fp16: bool = False) -> None:
        """``tokens`` as of EngineSystem; ``fp16``: compute in float16, as openai-whisper does on a GPU."""
        self._options = {"temperature": 0.0, "fp16": fp16}
        if tokens is not None:
            self._options |= {"sample_len": tokens, "without_timestamps": True}
        self._model = Whisper(ModelDimensions(**weights.dimensions.as_dict()))
        self._model.load_state_dict({name: tensor.float() for name, tensor in weights.tensors.items()})
        self._model.to(device).eval()

    def transcribe(self, samples: Sequence[Sample], task: Task, progress: Progress) -> Heard:
        started = time.perf_counter()
        texts = []
        tokens = windows = 0
        for sample in samples:
            audio = load_audio(sample.path)
            result = self._model.transcribe(audio, task=task, language=sample.language, **self._options)
            texts.append(str(result["text"]))
            tokens += sum(len(segment["tokens"]) for segment in result["segments"])
            windows += len({segment["seek"] for segment in result["segments"]})
            progress(1)
        return Heard(texts, time.perf_counter() - started, tokens, windows)

    @torch.inference_mode()
    def detect(self, samples: Sequence[Sample], progress: Progress) -> Heard:
        started = time.perf_counter()
        codes = []
        for sample in samples:
            mel = log_mel_spectrogram(pad_or_trim(load_audio(sample.path)), self._model.dims.n_mels)
            _, probabilities = self._model.detect_language(mel.to(self._model.device))
            codes.append(max(probabilities, key=probabilities.__getitem__))
            progress(1)
        return Heard(codes, time.perf_counter() - started)

"""Where speech is: Silero's voice activity detector over 32-ms frames, and the speech spans it gives.

The model file comes with the `silero-vad` wheel, whose own code needs torch; only the file is used, through
onnxruntime. It is the sequence variant: one call runs the recurrent network over many frames, and gives what
Silero's one-frame model gives when it is stepped through them.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from whisper_serve.speech.audio import SAMPLE_RATE, Audio
from whisper_serve.speech.errors import VadUnavailable

#: Samples a frame (32 ms), and those before it that the model sees again.
FRAME_SAMPLES, CONTEXT_SAMPLES = 512, 64
#: Size of the recurrent state.
STATE_SIZE = 128
#: Frames given to the model at once (4 s): long enough for its full speed, short enough to start early.
CHUNK_FRAMES = 128
#: The first second of a recording, for which the network knows no sound before.
OPENING_FRAMES = 31
#: Between this much below the threshold and the threshold, speech goes on but does not begin.
HYSTERESIS, MIN_NEGATIVE_THRESHOLD = 0.15, 0.01
MODEL_FILE = Path("data", "silero_vad_16k_sequence.onnx")

#: Speech probabilities, one a frame.
Probabilities: TypeAlias = npt.NDArray[np.float32]


class SpeechModel(Protocol):
    """What tells speech from the rest; keeps state from one call to the next, so one a stream."""

    def probabilities(self, frames: Audio) -> Probabilities:
        """(n, 512) consecutive frames → (n,) probabilities that each holds speech."""
        ...


@dataclass(frozen=True, slots=True)
class VadOptions:
    """How speech spans are made of probabilities; the names in parentheses are OpenAI's.

    Speech begins at a frame of at least `threshold`, and ends where frames stay 0.15 below it for
    `min_silence_ms` (silence_duration_ms). Spans of no more than `min_speech_ms` are noise. `padding_ms`
    (prefix_padding_ms) is what windows keep of the silence before and after speech.
    """

    threshold: float = 0.5
    min_speech_ms: int = 100
    min_silence_ms: int = 100
    padding_ms: int = 300

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"the VAD threshold must lie between 0 and 1, not {self.threshold}")
        for name, limit in LIMITS_MS.items():
            if not 0 <= getattr(self, name) <= limit:
                raise ValueError(f"{name} must be 0 to {limit} milliseconds, not {getattr(self, name)}")

    @property
    def negative_threshold(self) -> float:
        return max(self.threshold - HYSTERESIS, MIN_NEGATIVE_THRESHOLD)


#: The most milliseconds: beyond these a window would hold more silence than speech.
LIMITS_MS = {"min_speech_ms": 5_000, "min_silence_ms": 5_000, "padding_ms": 1_000}

DEFAULT_VAD = VadOptions()


@dataclass(frozen=True, slots=True)
class Span:
    """Speech from sample `start` up to, not including, sample `end` of the file."""

    start: int
    end: int


class SileroVad:
    """Silero VAD over one stream of audio. The loaded model is shared by all instances and threads.

    Raises VadUnavailable when onnxruntime or the model's file is not installed.
    """

    def __init__(self) -> None:
        self._session = _session()
        self._context = np.zeros((1, CONTEXT_SAMPLES), np.float32)
        self._h = np.zeros((1, 1, STATE_SIZE), np.float32)
        self._c = np.zeros((1, 1, STATE_SIZE), np.float32)

    def probabilities(self, frames: Audio) -> Probabilities:
        """(n, 512) consecutive frames → (n,) probabilities, in chunks of any size with the same result."""
        if not len(frames):
            return np.zeros(0, np.float32)
        before = np.concatenate([self._context, frames[:-1, -CONTEXT_SAMPLES:]])
        inputs = {"input": np.concatenate([before, frames], axis=1), "h": self._h, "c": self._c}
        speech, self._h, self._c = self._session.run(("speech_probs", "hn", "cn"), inputs)
        self._context = frames[-1:, -CONTEXT_SAMPLES:].copy()
        probabilities: Probabilities = speech.reshape(-1)
        return probabilities


class SpanTracker:
    """Turns probabilities into speech spans frame by frame, as Silero's `get_speech_timestamps` does.

    `position` is the end of the last frame seen, in samples; `earliest_end` the earliest sample at which the
    speech that is going on may turn out to end.
    """

    def __init__(self, options: VadOptions) -> None:
        self._threshold = options.threshold
        self._negative_threshold = options.negative_threshold
        self._min_speech = options.min_speech_ms * SAMPLE_RATE // 1000
        self._min_silence = options.min_silence_ms * SAMPLE_RATE // 1000
        self._start: int | None = None
        self._silence_from: int | None = None
        self.position = 0

    @property
    def in_speech(self) -> bool:
        """Whether a span has begun and not ended, be it long enough or not."""
        return self._start is not None

    @property
    def in_silence(self) -> bool:
        """Whether the span that is going on ends where it is now silent, unless speech comes again in time."""
        return self._silence_from is not None

    @property
    def earliest_end(self) -> int:
        # The audio may end within the last frame, of which one sample is certain.
        return self.position - FRAME_SAMPLES + 1 if self._silence_from is None else self._silence_from

    @property
    def confirmed_start(self) -> int | None:
        """The start of the span that is going on, once it is long enough to be one."""
        if self._start is None or self.earliest_end - self._start <= self._min_speech:
            return None
        return self._start

    @property
    def possible_start(self) -> int:
        """The first sample that a span not yet ended can begin with."""
        return self.position if self._start is None else self._start

    def push(self, probability: float) -> Span | None:
        """Take the next frame; returns the span that is known to have ended with it, if any."""
        frame_start, self.position = self.position, self.position + FRAME_SAMPLES
        if probability >= self._threshold:
            self._silence_from = None
            if self._start is None:
                self._start = frame_start
        elif probability < self._negative_threshold and self._start is not None:
            if self._silence_from is None:
                self._silence_from = frame_start
            if frame_start - self._silence_from >= self._min_silence:
                return self._close(self._start, self._silence_from)
        return None

    def finish(self, total: int) -> Span | None:
        """End of the audio after `total` samples: speech that is going on lasts to it."""
        return None if self._start is None else self._close(self._start, total)

    def _close(self, start: int, end: int) -> Span | None:
        self._start = self._silence_from = None
        return Span(start, end) if end - start > self._min_speech else None


def speech_spans(
    blocks: Iterable[Audio], options: VadOptions = DEFAULT_VAD, *, new_model: Callable[[], SpeechModel] = SileroVad
) -> Iterator[Span]:
    """The speech in a stream of audio, without padding, each span as soon as it is known to have ended."""
    tracker = SpanTracker(options)
    total = 0
    for samples, probabilities in chunks(blocks, options, new_model):
        total += len(samples)
        for probability in probabilities.tolist():
            if span := tracker.push(probability):
                yield span
    if span := tracker.finish(total):
        yield span


def chunks(
    blocks: Iterable[Audio], options: VadOptions, new_model: Callable[[], SpeechModel]
) -> Iterator[tuple[Audio, Probabilities]]:
    """Blocks of any size to chunks of `CHUNK_FRAMES` frames, each with its probabilities.

    The last chunk is as short as the audio leaves it; zeros fill its last frame for the model only.
    """
    model, opening = new_model(), True
    for samples in rechunk(blocks, CHUNK_FRAMES * FRAME_SAMPLES):
        frames = np.pad(samples, (0, -len(samples) % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)
        probabilities = model.probabilities(frames)
        yield samples, _opened(frames, probabilities, options, new_model) if opening else probabilities
        opening = False


def _opened(
    frames: Audio, probabilities: Probabilities, options: VadOptions, new_model: Callable[[], SpeechModel]
) -> Probabilities:
    """The probabilities of a recording's first chunk, had it not begun so suddenly.

    The network does not believe in a voice that it hears before any other sound, so the first words of a recording
    that begins amid speech would be lost. What lies in its first second, and in no window by what was heard of it, is
    looked at again after the same second backwards.
    """
    spoken = np.flatnonzero(probabilities >= options.threshold)
    first = int(spoken[0]) if len(spoken) else len(frames)
    again = min(first - options.padding_ms * SAMPLE_RATE // 1000 // FRAME_SAMPLES, OPENING_FRAMES)
    if again <= 0:
        return probabilities
    model = new_model()
    model.probabilities(np.ascontiguousarray(frames[:OPENING_FRAMES].reshape(-1)[::-1]).reshape(-1, FRAME_SAMPLES))
    return np.concatenate([model.probabilities(frames[:again]), probabilities[again:]])


def rechunk(blocks: Iterable[Audio], size: int) -> Iterator[Audio]:
    """The same samples in arrays of `size`, the last one shorter, never empty."""
    held: list[Audio] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block)
        if count >= size:
            joined = np.concatenate(held)
            whole = count - count % size
            yield from (joined[at : at + size] for at in range(0, whole, size))
            held, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(held)


@cache
def _session() -> Any:
    """One thread, because the frames depend on each other and requests run beside each other.

    From 1.29 on, onnxruntime reports its use to its maker as soon as it is imported, unless this variable says not to;
    whoever wants that can set it to 0.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError as error:
        raise VadUnavailable("finding speech needs the package onnxruntime, which is not installed") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model_path(), options, providers=["CPUExecutionProvider"])


def model_path() -> Path:
    """Where the wheel's model file is, found without importing the package (that would need torch).

    Raises VadUnavailable when the wheel, or the file in it, is not there.
    """
    spec = importlib.util.find_spec("silero_vad")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        path = Path(folder) / MODEL_FILE
        if path.is_file():
            return path
    raise VadUnavailable(
        f"finding speech needs {MODEL_FILE.name} of the package silero-vad 6.2.3, which is not installed: "
        "install it without its dependencies (pip install --no-deps silero-vad==6.2.3)"
    )

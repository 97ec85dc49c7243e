"""Utterances in audio that is still coming: where somebody begins to speak, and where they have paused for long enough.

An utterance is speech without a pause of `min_silence_ms`, with the padding around it. One that grows to 28 s is ended
within its last 8 s, where there is the least speech, and the next goes on at the very sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from whisper_serve.speech.audio import SAMPLE_RATE, Audio
from whisper_serve.speech.vad import FRAME_SAMPLES, SileroVad, Span, SpanTracker, SpeechModel, VadOptions
from whisper_serve.speech.windows import FORCED_RANGE, GRID, History

LONGEST_UTTERANCE: Final = 28 * SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Begun:
    """Somebody speaks; `start` is in seconds of the stream."""

    number: int
    start: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech from `start` to `end` (seconds of the stream) and its samples."""

    number: int
    start: float
    audio: Audio

    @property
    def duration(self) -> float:
        return len(self.audio) / SAMPLE_RATE

    @property
    def end(self) -> float:
        return self.start + self.duration


class Endpointer:
    """Finds utterances in a stream, in blocks of any size with the same result.

    `vad.min_silence_ms` is the pause that ends an utterance. No more than the utterance that is going on is held.
    """

    def __init__(self, vad: VadOptions, *, model: SpeechModel | None = None) -> None:
        """Raises VadUnavailable when no model is given and Silero's is not installed."""
        self._model = model or SileroVad()
        self._tracker = SpanTracker(vad)
        self._padding = vad.padding_ms * SAMPLE_RATE // 1000
        self._min_speech = vad.min_speech_ms * SAMPLE_RATE // 1000
        self._history = History()
        self._rest = np.zeros(0, np.float32)
        """Samples that do not fill a frame yet."""
        self._number = -1
        self._start: int | None = None
        """The first sample of the utterance that is going on."""
        self._cut_at = 0
        """End of the last utterance."""

    @property
    def seconds(self) -> float:
        """Audio taken so far."""
        return (self._history.end + len(self._rest)) / SAMPLE_RATE

    @property
    def speech_end(self) -> float:
        """Up to where, in seconds of the stream, the utterance that is going on has speech."""
        return self._tracker.earliest_end / SAMPLE_RATE

    @property
    def pausing(self) -> bool:
        """Whether nobody speaks now in the utterance that is going on."""
        return self._start is not None and self._tracker.in_silence

    @property
    def settled(self) -> bool:
        """Whether the utterance that is going on pauses for long enough that `current` is the whole of it if nobody
        goes on to speak before the pause ends it."""
        return self.pausing and self._known_end >= self._full_end(self._tracker.earliest_end)

    def current(self) -> Utterance | None:
        """The utterance that is going on, as far as it has come."""
        if self._start is None:
            return None
        return self._utterance(self._start, self._padded_end(self._tracker.earliest_end))

    def push(self, samples: Audio) -> list[Begun | Utterance]:
        """Take more audio; what began and ended with it, in order."""
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) - len(joined) % FRAME_SAMPLES
        self._rest = joined[whole:]
        return self._take(joined[:whole], whole)

    def commit(self) -> list[Begun | Utterance]:
        """End what is going on here, or where it paused, as a pause would."""
        return self._stop(self._tracker.position)

    def finish(self) -> list[Begun | Utterance]:
        """The end of the audio: what is going on ends with it, or where it paused."""
        total = self._history.end + len(self._rest)
        padded = np.pad(self._rest, (0, -len(self._rest) % FRAME_SAMPLES))
        self._rest = self._rest[:0]
        heard = self._take(padded, total - self._history.end)
        return [*heard, *self._stop(total)]

    def _stop(self, at: int) -> list[Begun | Utterance]:
        """Audio, or the utterance, ends at a sample."""
        return list(self._close(self._tracker.finish(self._tracker.earliest_end if self.settled else at)))

    def _take(self, frames: Audio, count: int) -> list[Begun | Utterance]:
        """Whole frames, of which the first `count` samples are audio."""
        if not len(frames):
            return []
        probabilities = self._model.probabilities(frames.reshape(-1, FRAME_SAMPLES)).tolist()
        self._history.append(frames[:count], probabilities)
        heard = [each for probability in probabilities for each in self._step(probability)]
        first = self._tracker.possible_start - self._padding if self._start is None else self._start
        self._history.forget(max(first, self._cut_at))
        return heard

    def _step(self, probability: float) -> Iterator[Begun | Utterance]:
        yield from self._close(self._tracker.push(probability))
        yield from self._begin()
        if self._start is not None and self._known_end - self._start > LONGEST_UTTERANCE:
            limit = self._start + LONGEST_UTTERANCE
            yield self._end(self._history.least_speech(limit - FORCED_RANGE, limit))

    def _begin(self) -> Iterator[Begun]:
        start = self._tracker.confirmed_start
        if self._start is not None or start is None:
            return
        start = max(start, self._cut_at)
        if self._tracker.earliest_end - start > self._min_speech:
            yield self._open(start)

    def _close(self, span: Span | None) -> Iterator[Begun | Utterance]:
        """The utterance that ends with a span; one that was not long enough to begin before may be so now."""
        if span is None:
            return
        start = max(span.start, self._cut_at)
        if self._start is None and span.end - start > self._min_speech:
            yield self._open(start)
        if self._start is not None:
            yield self._end(self._padded_end(span.end))

    def _open(self, speech: int) -> Begun:
        self._number += 1
        self._start = max((speech - self._padding) // GRID * GRID, self._cut_at)
        return Begun(self._number, self._start / SAMPLE_RATE)

    def _end(self, end: int) -> Utterance:
        assert self._start is not None
        utterance = self._utterance(self._start, end)
        self._start, self._cut_at = None, end
        return utterance

    def _utterance(self, start: int, end: int) -> Utterance:
        return Utterance(self._number, start / SAMPLE_RATE, self._history.samples(Span(start, end)))

    @property
    def _known_end(self) -> int:
        """The audio up to the last frame that was looked at; the zeros that fill the very last frame are none."""
        return min(self._tracker.position, self._history.end)

    def _padded_end(self, speech: int) -> int:
        return min(self._full_end(speech), self._known_end)

    def _full_end(self, speech: int) -> int:
        """Where an utterance whose speech ends there ends if there is audio for its padding."""
        return -(-(speech + self._padding) // GRID) * GRID

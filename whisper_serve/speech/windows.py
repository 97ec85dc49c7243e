"""Windows: the pieces of a file, of at most 30 s, that the model works on one by one.

A window is a contiguous piece of the file that starts and ends in silence. It takes in speech span after
speech span for as long as the next one still fits; a silence of more than 3 s ends it, so that a window is
never mostly silence. When the next span does not fit, the cut is made, in this order of preference,

1. in a silence that begins 20 to 30 s into the window: the longest, a second of further filling counting as
   much as 50 ms of silence, and no silence as more than a second;
2. in the longest silence that begins 10 to 20 s into it;
3. within speech without a pause, in the last 8 s before the limit: at the quietest 20 ms around the frames
   with the lowest speech probability. That may be amid a word, so the next window starts again 2 to 4 s
   earlier, at a place chosen likewise: `joining` makes one text of what both hear.

Without speech detection a cut is made at the quietest 20 ms of those 8 s, and the windows overlap in the same
way unless the cut lies in 0.2 s of silence. Windows that are cut at a silence share nothing.

Windows start on multiples of 10 ms, the step of the mel spectrogram, so their offsets are exact in every
format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from whisper_serve.speech.audio import SAMPLE_RATE, Audio
from whisper_serve.speech.vad import (
    DEFAULT_VAD,
    FRAME_SAMPLES,
    SileroVad,
    Span,
    SpanTracker,
    SpeechModel,
    VadOptions,
    chunks,
    rechunk,
)

WINDOW_SECONDS = 30
WINDOW_SAMPLES = WINDOW_SECONDS * SAMPLE_RATE
#: All cuts fall on multiples of this many samples: 10 ms, the hop of the mel spectrogram.
GRID = SAMPLE_RATE // 100
#: Longest silence inside a window.
BRIDGE = 3 * SAMPLE_RATE
#: From where on a silence is a good, or still an acceptable, place to cut.
GOOD_FILL, LEAST_FILL = 20 * SAMPLE_RATE, 10 * SAMPLE_RATE
#: Silence that a sample of further filling is worth, and beyond which a silence is no better than another.
FILL_WORTH, LONG_SILENCE = 0.05, SAMPLE_RATE
#: Before the limit, where speech without a pause is cut.
FORCED_RANGE = 8 * SAMPLE_RATE
#: How much earlier the next window then starts: enough for some words that both windows hear whole.
LEAST_OVERLAP, MOST_OVERLAP = 2 * SAMPLE_RATE, 4 * SAMPLE_RATE
#: Without speech detection: a silence is so long, and has so little of the window's mean energy (−30 dB).
SILENCE, SILENT_SHARE = SAMPLE_RATE // 5, 1e-3


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a file: its place in the order, where it starts in seconds, and its samples (≤ 480,000).

    `overlap_before` and `overlap_after` are the seconds that the windows before and after it hold too.
    """

    index: int
    start: float
    audio: Audio
    overlap_before: float = 0.0
    overlap_after: float = 0.0

    @property
    def duration(self) -> float:
        return len(self.audio) / SAMPLE_RATE

    @property
    def end(self) -> float:
        return self.start + self.duration

    @property
    def overlaps(self) -> bool:
        """Whether its text has to be joined with a neighbour's."""
        return bool(self.overlap_before or self.overlap_after)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A window to be, in samples: from `start` up to `end`, of which the last `shared` are in the next one too."""

    start: int
    end: int
    shared: int = 0

    @property
    def next_start(self) -> int:
        """The earliest start of the next window."""
        return self.end - self.shared


def cut_windows(
    blocks: Iterable[Audio],
    vad: VadOptions | None = DEFAULT_VAD,
    *,
    new_model: Callable[[], SpeechModel] = SileroVad,
    overlap: bool = True,
) -> Iterator[Window]:
    """Cut a stream of audio into windows, each yielded as soon as it is certain.

    With `vad` the windows hold all speech and none is made where there is none; without (None) they hold
    the whole audio, cut at its quietest points. `new_model` makes what finds the speech. Without `overlap`
    no two windows share anything, and a word may be cut in two. The windows do not depend on the sizes of the
    blocks, of which no more than two windows' worth is held.
    """
    history = History(overlap)
    pieces = _whole(blocks, history) if vad is None else _speech(blocks, vad, new_model, history)
    before = 0
    for index, (piece, audio) in enumerate(pieces):
        yield Window(index, piece.start / SAMPLE_RATE, audio, before / SAMPLE_RATE, piece.shared / SAMPLE_RATE)
        before = piece.shared


def _speech(
    blocks: Iterable[Audio], vad: VadOptions, new_model: Callable[[], SpeechModel], history: History
) -> Iterator[tuple[_Piece, Audio]]:
    packer = _Packer(vad, history)
    for samples, probabilities in chunks(blocks, vad, new_model):
        history.append(samples, probabilities.tolist())
        for probability in probabilities.tolist():
            for piece in packer.push(probability):
                yield piece, history.samples(piece)
        history.forget(packer.needed_from)
    for piece in packer.finish(history.end):
        yield piece, history.samples(piece)


def _whole(blocks: Iterable[Audio], history: History) -> Iterator[tuple[_Piece, Audio]]:
    start = 0
    for samples in rechunk(blocks, WINDOW_SAMPLES // 2):
        history.append(samples, [])
        while history.end - start > WINDOW_SAMPLES:
            limit = start + WINDOW_SAMPLES
            end = history.quietest(limit - FORCED_RANGE, limit)
            shared = 0 if history.silent(start, end, limit) else history.overlap(end, history.quietest)
            piece = _Piece(start, end, shared)
            yield piece, history.samples(piece)
            start = piece.next_start
            history.forget(start)
    if history.end > start:
        piece = _Piece(start, history.end)
        yield piece, history.samples(piece)


class History:
    """The last stretch of the audio with the probabilities of its frames."""

    def __init__(self, overlapping: bool = False) -> None:
        self._overlapping = overlapping
        self._samples: list[Audio] = []
        self._probabilities: list[float] = []
        self._first = 0  # sample at which the kept stretch starts, the first of a frame
        self.end = 0

    def append(self, samples: Audio, probabilities: list[float]) -> None:
        self._samples.append(samples)
        self._probabilities += probabilities
        self.end += len(samples)

    def forget(self, before: int) -> None:
        """Let go of the frames that lie before a sample."""
        frames = max(0, before - self._first) // FRAME_SAMPLES
        if frames and self._samples:
            self._samples = [self._joined()[frames * FRAME_SAMPLES :]]
            del self._probabilities[:frames]
            self._first += frames * FRAME_SAMPLES

    def samples(self, piece: Span | _Piece) -> Audio:
        """A copy, which keeps nothing else alive."""
        return self._joined()[piece.start - self._first : piece.end - self._first].copy()

    def quietest(self, start: int, end: int) -> int:
        """The point on the grid, at least 10 ms inside `start` … `end`, amid the 20 ms of the least energy.

        The last of those that are equally quiet.
        """
        first, last = -(-start // GRID), end // GRID
        energies = np.square(self.samples(Span(first * GRID, last * GRID))).reshape(-1, GRID).sum(axis=1)
        around = energies[:-1] + energies[1:]
        return (first + 1 + _last_lowest(around)) * GRID

    def least_speech(self, start: int, end: int) -> int:
        """Where to cut speech between two samples: amid the three frames of the lowest probability."""
        first, last = -(-(start - self._first) // FRAME_SAMPLES), (end - self._first) // FRAME_SAMPLES
        probabilities = np.asarray(self._probabilities[first:last])
        middle = 1 + _last_lowest(np.convolve(probabilities, np.ones(3), mode="valid"))
        at = self._first + (first + middle) * FRAME_SAMPLES
        return self.quietest(at - FRAME_SAMPLES, at + 2 * FRAME_SAMPLES)

    def overlap(self, end: int, place: Callable[[int, int], int]) -> int:
        """How much the window that is cut at `end` shares with the next one, which starts at a `place`."""
        return end - place(end - MOST_OVERLAP, end - LEAST_OVERLAP) if self._overlapping else 0

    def silent(self, start: int, end: int, limit: int) -> bool:
        """Whether `end` lies in some silence, beside the sound from `start` on; nothing behind `limit` counts."""
        energy = float(np.square(self.samples(Span(start, end))).mean())
        stretches = [Span(at, at + SILENCE) for at in range(end - SILENCE, end + 1, SILENCE // 2)]
        return any(
            float(np.square(self.samples(each)).mean()) <= SILENT_SHARE * energy
            for each in stretches
            if each.end <= limit
        )

    def _joined(self) -> Audio:
        if len(self._samples) > 1:
            self._samples = [np.concatenate(self._samples)]
        return self._samples[0]


class _Packer:
    """Decides, frame by frame, which stretches of the file become windows.

    Every decision depends on nothing but the frames up to it, so it is the same however they arrive.
    """

    def __init__(self, vad: VadOptions, history: History) -> None:
        self._tracker = SpanTracker(vad)
        self._padding = vad.padding_ms * SAMPLE_RATE // 1000
        self._history = history
        self._spans: list[Span] = []  # ended, and not yet in a window
        self._cut_at = 0  # where the next window starts at the earliest

    @property
    def needed_from(self) -> int:
        """The first sample that a window to come can contain."""
        first = self._spans[0].start if self._spans else self._tracker.possible_start
        return self._window_start(first)

    def push(self, probability: float) -> Iterator[_Piece]:
        """Take the next frame; yields the windows that are certain with it."""
        self._add(self._tracker.push(probability))
        yield from self._overfull()
        if self._spans and self._tracker.possible_start - self._spans[-1].end > BRIDGE:
            yield self._take(len(self._spans), self._padded(self._spans[-1].end))

    def finish(self, total: int) -> Iterator[_Piece]:
        """The end of the audio after `total` samples; yields the windows that remain."""
        self._add(self._tracker.finish(total))
        yield from self._overfull()
        if self._spans:
            yield self._take(len(self._spans), min(self._padded(self._spans[-1].end), total))

    def _add(self, span: Span | None) -> None:
        if span is not None:
            self._spans.append(Span(max(span.start, self._cut_at), span.end))

    def _overfull(self) -> Iterator[_Piece]:
        """Windows, for as long as there is more speech than fits into one."""
        while spans := self._overflowing():
            count = _spans_to_take(spans, self._window_start(spans[0].start))
            if count:
                yield self._take(count, self._between(spans[count - 1].end, spans[count].start))
            else:
                yield self._cut_within(self._limit(spans[0]))

    def _overflowing(self) -> list[Span]:
        """The speech for the next window if it does not fit, else nothing.

        The last span may still be going on, and then ends here where it ends at the earliest.
        """
        spans = self._spans
        if (start := self._tracker.confirmed_start) is not None:
            spans = [*spans, Span(max(start, self._cut_at), self._tracker.earliest_end)]
        return spans if spans and spans[-1].end > self._limit(spans[0]) else []

    def _take(self, count: int, end: int) -> _Piece:
        """The window up to `end`, which holds the first `count` spans."""
        first = self._spans[0]
        window = _Piece(self._window_start(first.start), min(end, self._limit(first)))
        del self._spans[:count]
        self._cut_at = window.end
        return window

    def _cut_within(self, limit: int) -> _Piece:
        """The window that ends within the one span that reaches over its last part, and over the overlap too."""
        end = self._history.least_speech(limit - FORCED_RANGE, limit)
        window = _Piece(limit - WINDOW_SAMPLES, end, self._history.overlap(end, self._history.least_speech))
        self._spans = [Span(max(span.start, window.next_start), span.end) for span in self._spans if span.end > end]
        self._cut_at = window.next_start
        return window

    def _limit(self, first: Span) -> int:
        return self._window_start(first.start) + WINDOW_SAMPLES

    def _window_start(self, speech: int) -> int:
        return max((speech - self._padding) // GRID * GRID, self._cut_at)

    def _padded(self, speech: int) -> int:
        return -(-(speech + self._padding) // GRID) * GRID

    def _between(self, speech: int, next_speech: int) -> int:
        """Where to cut between two spans: after the padding, or halfway where both paddings do not fit."""
        if next_speech - speech < 2 * (self._padding + GRID):
            return (speech + next_speech) // 2 // GRID * GRID
        return self._padded(speech)


def _spans_to_take(spans: list[Span], start: int) -> int:
    """How many spans go into a window from `start` on: up to the best silence, 0 when there is none.

    The last span is one that does not fit.
    """
    silences = [
        (count, before.end - start, after.start - before.end)
        for count, (before, after) in enumerate(pairwise(spans), start=1)
    ]
    good = [silence for silence in silences if silence[1] >= GOOD_FILL]
    if good:
        return max(good, key=lambda it: min(it[2], LONG_SILENCE) + FILL_WORTH * it[1])[0]
    acceptable = [silence for silence in silences if silence[1] >= LEAST_FILL]
    return max(acceptable, key=lambda it: it[2], default=(0, 0, 0))[0]


def _last_lowest(values: npt.NDArray[np.floating]) -> int:
    return len(values) - 1 - int(np.argmin(values[::-1]))

"""What is lost and what is said too often where two windows meet.

Around each border a window of its own is transcribed, which has the border in its middle: what it hears there is what
can be heard. Beside it and beside the reference a transcript has, within `NEAR` seconds of the border,

- lost a word that both have and it has not;
- doubled a word that it has and neither of them has, such as one said twice or a piece of one that was cut;
- mistaken a word that it has for another that both have, or that is one of several for one: "he is" for "his".

The words are aligned by their fewest errors. The model mistakes words away from borders too, so the word errors of the
whole are told as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final

import jiwer

from whisper_serve.speech import SAMPLE_RATE, Audio, Joiner, Transcript, Window, WindowTranscript, cut_windows, merge
from whisper_serve.transcriber import Transcriber, WindowJob
from whisper_serve.wire import WindowOptions

from .gapless import Gapless
from .scores import ErrorRate, error_rate, normalized

NEAR: Final = 3.0
"""Seconds on either side of a border, or of the middle of an overlap, in which words count."""
AROUND: Final = 12.0
"""Seconds on either side that the window around a border holds, and in which words are aligned: those that count need
neighbours, or they would be taken for the same word elsewhere."""
MARGIN: Final = 30
"""Words of the reference before and after those that are heard around a border, among which they are looked for."""
Progress = Callable[[float], None]
"""Called with the share of the work that was just done."""


@dataclass(frozen=True, slots=True)
class Border:
    """Where two windows meet, in seconds, and the words that are wrong there."""

    at: float
    overlaps: bool
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    mistaken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cutting:
    """One way to cut a recording, and what came of it."""

    language: str
    label: str
    windows: int
    borders: tuple[Border, ...]
    errors: ErrorRate

    @property
    def overlapping(self) -> int:
        """Borders at which two windows hold the same seconds."""
        return sum(border.overlaps for border in self.borders)

    @property
    def lost(self) -> list[str]:
        return [word for border in self.borders for word in border.lost]

    @property
    def doubled(self) -> list[str]:
        return [word for border in self.borders for word in border.doubled]

    @property
    def mistaken(self) -> list[str]:
        return [word for border in self.borders for word in border.mistaken]


def measure_cutting(
    transcriber: Transcriber, recording: Gapless, language: str, *, overlap: bool, progress: Progress = lambda _: None
) -> Cutting:
    """Transcribe a recording in windows that overlap within speech, or do not, and look at its borders."""
    hearing = _Hearing(transcriber, WindowOptions(language=language, word_timestamps=True))
    windows = list(cut_windows([recording.audio], overlap=overlap))
    transcript = hearing.joined(windows, recording.seconds, progress)
    places = [(after.start + after.overlap_before / 2, before.overlap_after > 0) for before, after in pairwise(windows)]
    spoken = [text for word in recording.transcript.split() for text in normalized(word, language).split()]
    heard = _timed(transcript, 0.0, language)
    comparison = Comparison(spoken, heard)
    around = [_around(recording.audio, at) for at, _ in places]
    borders = []
    for (at, overlaps), (start, audio) in zip(places, around, strict=True):
        [judged] = hearing.windows([Window(0, 0.0, audio)])
        judge = _timed(merge([(0.0, judged)], task="transcribe", duration=AROUND), start, language)
        borders.append(comparison.at(at, overlaps, judge))
        progress(0.5 / len(around))
    label = "overlapping within speech" if overlap else "without overlap"
    errors = error_rate(recording.transcript, transcript.text, language)
    return Cutting(language, label, len(windows), tuple(borders), errors)


@dataclass(frozen=True, slots=True)
class _Hearing:
    """Windows through the engine, as a gateway would have them."""

    transcriber: Transcriber
    options: WindowOptions

    def windows(self, windows: Sequence[Window]) -> list[WindowTranscript]:
        outcomes = self.transcriber.run(
            [
                WindowJob(window.audio, self.options.to_be_joined() if window.overlaps else self.options)
                for window in windows
            ]
        ).outcomes
        return [_sound(outcome) for outcome in outcomes]

    def joined(self, windows: Sequence[Window], seconds: float, progress: Progress) -> Transcript:
        joiner = Joiner(words=True, logprobs=False)
        parts = []
        for window in windows:
            [heard] = self.windows([window])
            parts += joiner.add(window.start, window.end, window.overlap_after, heard)
            progress(0.5 / len(windows))
        return merge([*parts, *joiner.finish()], task="transcribe", duration=seconds, language=self.options.language)


def _sound(outcome: object) -> WindowTranscript:
    if isinstance(outcome, WindowTranscript):
        return outcome
    assert isinstance(outcome, Exception)
    raise outcome


def _around(audio: Audio, at: float) -> tuple[float, Audio]:
    """The seconds around a place, and where they start."""
    first = max(0, round((at - AROUND) * SAMPLE_RATE))
    return first / SAMPLE_RATE, audio[first : round((at + AROUND) * SAMPLE_RATE)]


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word as it is compared, and the middle of its time in the file."""

    text: str
    at: float


def _timed(transcript: Transcript, start: float, language: str) -> list[TimedWord]:
    return [
        TimedWord(text, start + (word.start + word.end) / 2)
        for word in transcript.words
        for text in normalized(word.word, language).split()
    ]


class Comparison:
    """A transcript beside the reference of the whole, place by place."""

    def __init__(self, spoken: Sequence[str], heard: Sequence[TimedWord]) -> None:
        self._spoken, self._heard = spoken, heard
        pairs = _aligned(spoken, [word.text for word in heard])
        self._place = {two: one for one, two in pairs if one is not None and two is not None}

    def at(self, border: float, overlaps: bool, judge: Sequence[TimedWord]) -> Border:
        """What is wrong near a border, beside the words that were heard in a window around it."""
        heard = [word for word in self._heard if abs(word.at - border) < AROUND]
        reference = self._reference(border)
        judge_near = [word for word in judge if abs(word.at - border) < AROUND]
        confirmed = _confirmed(reference, judge_near)
        unspoken = _unconfirmed(reference, heard)
        lost: list[str] = []
        doubled: list[str] = []
        mistaken: list[str] = []

        def same(pair: tuple[int | None, int | None]) -> bool:
            one, two = pair
            return one is not None and two is not None and judge_near[one].text == heard[two].text

        pairs = _aligned([word.text for word in judge_near], [word.text for word in heard])
        for right, group in groupby(pairs, key=same):
            passage = [] if right else list(group)
            otherwise = any(None not in pair for pair in passage)
            for one, two in passage:
                if one is None:
                    if two is not None and two in unspoken and _near(heard[two], border):
                        (mistaken if otherwise else doubled).append(heard[two].text)
                elif one in confirmed and _near(judge_near[one], border):
                    if two is None:
                        lost.append(judge_near[one].text)
                    else:
                        mistaken.append(heard[two].text)
        return Border(round(border, 2), overlaps, tuple(lost), tuple(doubled), tuple(mistaken))

    def _reference(self, border: float) -> Sequence[str]:
        """What is said around a border, with more on both sides."""
        places = [
            self._place[number]
            for number, word in enumerate(self._heard)
            if number in self._place and abs(word.at - border) < AROUND
        ]
        if not places:
            return self._spoken
        return self._spoken[max(0, min(places) - MARGIN) : max(places) + MARGIN]


def _near(word: TimedWord, border: float) -> bool:
    return abs(word.at - border) < NEAR


def _confirmed(reference: Sequence[str], words: Sequence[TimedWord]) -> set[int]:
    """The places of the words that the reference has too."""
    texts = [word.text for word in words]
    return {
        two
        for one, two in _aligned(reference, texts)
        if one is not None and two is not None and reference[one] == texts[two]
    }


def _unconfirmed(reference: Sequence[str], words: Sequence[TimedWord]) -> set[int]:
    return set(range(len(words))) - _confirmed(reference, words)


def _aligned(one: Sequence[str], two: Sequence[str]) -> Iterator[tuple[int | None, int | None]]:
    """Pairs of places with the fewest errors; None where the other has no such word."""
    if not one or not two:
        yield from ((place, None) for place in range(len(one)))
        yield from ((None, place) for place in range(len(two)))
        return
    for chunk in jiwer.process_words(" ".join(one), " ".join(two)).alignments[0]:
        first = range(chunk.ref_start_idx, chunk.ref_end_idx)
        second = range(chunk.hyp_start_idx, chunk.hyp_end_idx)
        if chunk.type == "delete":
            yield from ((place, None) for place in first)
        elif chunk.type == "insert":
            yield from ((None, place) for place in second)
        else:
            yield from zip(first, second, strict=True)

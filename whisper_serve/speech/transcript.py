"""Transcripts as values: what the model said of each window, and of the whole file.

Times are seconds: in a `WindowTranscript` from the start of the window, in a `Transcript` from that of the
file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from whisper_serve.speech.languages import UNSPACED, UNSPACED_LETTER

#: Mel frames (10 ms) a second: the unit of `Segment.seek`.
FRAMES_PER_SECOND = 100
#: Window starts fall on mel frames and token timestamps on 20 ms, so nothing is lost at two decimals.
TIME_DECIMALS = 2


@dataclass(frozen=True, slots=True)
class Word:
    """One word with the space or punctuation that the model put around it."""

    word: str
    start: float
    end: float
    probability: float

    def shifted(self, seconds: float) -> Word:
        """The same word, `seconds` later."""
        return replace(self, start=_time(self.start + seconds), end=_time(self.end + seconds))


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token of the text with its log-probability.

    `bytes` are the token's own in UTF-8; `token` is their text, in which a piece of a character is �.
    """

    token: str
    bytes: tuple[int, ...]
    logprob: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech between two timestamps, with the model's own measures of it.

    `seek` is where the window starts, in mel frames of 10 ms; `avg_logprob`, `compression_ratio` and
    `no_speech_prob` are those of the window's decoding, under OpenAI's names.
    `token_logprobs` are the tokens of the text alone, in order; empty unless they were asked for. `language` is
    the code of a segment whose file is not taken to be in one language, and else empty.
    """

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: tuple[Word, ...] = ()
    token_logprobs: tuple[TokenLogprob, ...] = ()
    language: str = ""

    def shifted(self, seconds: float, number: int) -> Segment:
        """The same segment, `seconds` later, with `number` as its id."""
        return replace(
            self,
            id=number,
            seek=self.seek + round(seconds * FRAMES_PER_SECOND),
            start=_time(self.start + seconds),
            end=_time(self.end + seconds),
            words=tuple(word.shifted(seconds) for word in self.words),
        )


@dataclass(frozen=True, slots=True)
class Dropped:
    """Text of the model that is left out because nobody said it: in a silence, again and again, or a phantom."""

    start: float
    end: float
    reason: Literal["silence", "repetition", "phantom"]
    text: str

    def shifted(self, seconds: float) -> Dropped:
        """The same, `seconds` later."""
        return replace(self, start=_time(self.start + seconds), end=_time(self.end + seconds))


@dataclass(frozen=True, slots=True)
class WindowTranscript:
    """One window's result; `language_probability` is None when the language was given, not detected.

    `language_probabilities` are those of all languages by code; None unless only the language was asked for.
    """

    language: str
    language_probability: float | None
    segments: tuple[Segment, ...]
    language_probabilities: Mapping[str, float] | None = None
    dropped: tuple[Dropped, ...] = ()

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Transcript:
    """A whole file's result; `language` is a code, or empty when there was no speech to tell it from.

    `language_probability` is how likely the model took the language to be where the file's was found out, in the
    windows from which it was; None where it was given, or is each window's own.
    """

    task: str
    language: str
    duration: float
    text: str
    segments: tuple[Segment, ...]
    warnings: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    language_probability: float | None = None

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def token_logprobs(self) -> tuple[TokenLogprob, ...]:
        return tuple(token for segment in self.segments for token in segment.token_logprobs)


def merge(
    parts: Iterable[tuple[float, WindowTranscript]],
    *,
    task: str,
    duration: float,
    language: str | None = None,
    language_per_window: bool = False,
    warnings: Iterable[str] = (),
) -> Transcript:
    """Join the transcripts of a file's windows, each with its start in seconds, in the order of the file.

    `language` is the code that the caller asked for; without it the file's language is that of the windows
    with the most probability together, the earlier one at a tie; windows without text count where none has any.
    With `language_per_window` each segment is given the language of its window, and the file's is the one that is
    spoken longest.
    """
    windows = list(parts)
    if language_per_window:
        windows = [(start, _with_languages(part)) for start, part in windows]
        language = _longest_language(segment for _, part in windows for segment in part.segments)
    spoken = language or _spoken_language([part for _, part in windows])
    return Transcript(
        task=task,
        language=spoken,
        duration=duration,
        text=join_texts((part.text, part.language) for _, part in windows),
        segments=_renumbered(windows),
        warnings=tuple(warnings),
        dropped=tuple(dropped.shifted(start) for start, part in windows for dropped in part.dropped),
        language_probability=None if language or language_per_window else _probability(spoken, windows),
    )


def join_texts(texts: Iterable[tuple[str, str]]) -> str:
    """Join the texts of consecutive windows, each with its language's code, into one without outer spaces.

    Whisper starts a text with a space in languages that use them, but not always: one is put between two
    windows where both lack it, unless the language does without spaces.
    """
    joined = before = ""
    for text, language in texts:
        if needs_space(before, text, language):
            joined += " "
        joined += text
        before = text or before
    return joined.strip()


def needs_space(before: str, after: str, language: str) -> bool:
    """Whether a space is missing between the text of one window and that of the next.

    `language` is the one that is spoken. The text may be a translation of it, so that letters tell how it is written.
    """
    if not before or not after or before[-1].isspace() or after[0].isspace():
        return False
    return language not in UNSPACED or (_is_spaced(reversed(before)) and _is_spaced(after))


def _is_spaced(text: Iterable[str]) -> bool:
    """Whether the first letter, and what stands before it, is of a script that has spaces."""
    for letter in text:
        if UNSPACED_LETTER.match(letter):
            return False
        if letter.isalpha():
            return True
    return False


def _renumbered(windows: list[tuple[float, WindowTranscript]]) -> tuple[Segment, ...]:
    placed = ((start, segment) for start, part in windows for segment in part.segments)
    return tuple(segment.shifted(start, number) for number, (start, segment) in enumerate(placed))


def _spoken_language(parts: Sequence[WindowTranscript]) -> str:
    weights: dict[str, float] = {}
    for part in _with_text(parts):
        weight = 1.0 if part.language_probability is None else part.language_probability
        weights[part.language] = weights.get(part.language, 0.0) + weight
    return max(weights, key=weights.__getitem__, default="")


def _probability(language: str, windows: Iterable[tuple[float, WindowTranscript]]) -> float | None:
    """Mean over the windows in which that language was found."""
    found = [each for _, each in windows if each.language == language and each.language_probability is not None]
    values = [each.language_probability or 0.0 for each in _with_text(found)]
    return sum(values) / len(values) if values else None


def _with_text(parts: Sequence[WindowTranscript]) -> Sequence[WindowTranscript]:
    """Those with text; all if none has any."""
    return [part for part in parts if part.text.strip()] or parts


def _with_languages(window: WindowTranscript) -> WindowTranscript:
    return replace(window, segments=tuple(replace(each, language=window.language) for each in window.segments))


def _longest_language(segments: Iterable[Segment]) -> str:
    """The language in which the most seconds are spoken; empty if there are no segments."""
    seconds: dict[str, float] = {}
    for segment in segments:
        seconds[segment.language] = seconds.get(segment.language, 0.0) + segment.end - segment.start
    return max(seconds, key=seconds.__getitem__, default="")


def _time(seconds: float) -> float:
    return round(seconds, TIME_DECIMALS)

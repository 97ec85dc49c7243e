"""What the engine answers. Times are seconds from the start of the window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class LanguageDetection:
    """The language that a window, or a group of windows, is spoken in."""

    language: str
    """Code of the most probable language."""
    probabilities: Mapping[str, float]
    """Probability of every language of the model; they add up to 1."""


@dataclass(frozen=True, slots=True)
class DecodingResult:
    """One decoding of one window: the names and meanings are openai-whisper's."""

    tokens: tuple[int, ...]
    """Sampled tokens with timestamps, without the end-of-text token."""
    token_logprobs: tuple[float, ...]
    """Log-probability of each of ``tokens`` as it was sampled."""
    text: str
    language: str
    language_probability: float | None
    """``None`` when the caller named the language."""
    temperature: float
    avg_logprob: float
    """Mean over the tokens and the end of text."""
    compression_ratio: float
    no_speech_prob: float
    finished: bool
    """False where the token limit cut the text short."""
    loops: bool = False
    """Whether the text goes in circles: see `repetition`."""


@dataclass(frozen=True, slots=True)
class DecodedWord:
    """A word with the space before it and the punctuation around it."""

    text: str
    start: float
    end: float
    probability: float
    """Mean over its tokens."""

    def shifted(self, seconds: float) -> DecodedWord:
        """The same word, ``seconds`` later."""
        return replace(self, start=self.start + seconds, end=self.end + seconds)


@dataclass(frozen=True, slots=True)
class DecodedSegment:
    """A stretch of text between two timestamps."""

    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    """Log-probability of each of ``tokens``."""
    decoding: DecodingResult
    """The decoding that this segment is a part of."""
    words: tuple[DecodedWord, ...] = ()
    """Empty unless word timestamps were asked for."""

    def shifted(self, seconds: float) -> DecodedSegment:
        """The same segment, ``seconds`` later."""
        words = tuple(word.shifted(seconds) for word in self.words)
        return replace(self, start=self.start + seconds, end=self.end + seconds, words=words)


@dataclass(frozen=True, slots=True)
class DroppedSegment:
    """Text of the model that is not delivered, since nobody said it."""

    start: float
    end: float
    reason: Literal["silence", "repetition"]
    text: str

    def shifted(self, seconds: float) -> DroppedSegment:
        """The same, ``seconds`` later."""
        return replace(self, start=self.start + seconds, end=self.end + seconds)


@dataclass(frozen=True, slots=True)
class WindowResult:
    """All that was heard in one window."""

    language: str
    language_probability: float | None
    segments: tuple[DecodedSegment, ...]
    decodings: tuple[DecodingResult, ...]
    """One, or more where the rest of the window had to be decoded on its own."""
    fallbacks: int
    """Decodings that failed a threshold and were repeated: by a search, or at a higher temperature."""
    dropped: tuple[DroppedSegment, ...] = ()
    """At most one of each decoding."""
    searches: int = 0
    """Decodings that passed, but of which the model was unsure, so that a likelier one was searched for."""

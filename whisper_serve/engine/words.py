"""From the times of tokens to those of words, by openai-whisper's rules (``add_word_timestamps``).

Dynamic time warping gives the silence around a sentence to the words beside it: words that are too long there are cut
to twice the median length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from whisper.timing import WordTiming, merge_punctuations

from .results import DecodedSegment, DecodedWord
from .tokenizer import WhisperTokenizer

PREPENDED: Final = "\"'“¿([{-"
APPENDED: Final = "\"'.。,，!！?？:：”)]}、"
"""Punctuation that is a part of the word behind it, and of the word before it."""
SENTENCE_ENDS: Final = ".。!！?？"
LONGEST_MEDIAN: Final = 0.7
"""Seconds; a higher median says more about the silence than about the words."""
TRUSTED: Final = 0.5
"""Seconds by which a segment's own times have to differ from those of its words to be believed more."""


@dataclass(frozen=True, slots=True)
class _Length:
    """How long words are, in seconds."""

    median: float
    longest: float


def with_words(
    segments: Sequence[DecodedSegment],
    tokenizer: WhisperTokenizer,
    language: str,
    times: npt.NDArray[np.float32],
    silent_since: float,
) -> tuple[DecodedSegment, ...]:
    """Segments of one decoding with their words, and with the times of these.

    Words lie within their segment, one after the other.

    Args:
        times: when each text token begins and the last one ends, in the segments' own seconds.
        silent_since: when speech ended before the first segment.
    """
    split = _split(segments, tokenizer, language, times)
    all_words = [word for words in split for word in words]
    length = _length(all_words)
    _shorten_at_sentence_ends(all_words, length)
    timed = []
    earliest = 0.0
    for segment, words in zip(segments, split, strict=True):
        merge_punctuations(words, PREPENDED, APPENDED)
        spoken = [word for word in words if word.word]
        if not spoken:
            timed.append(segment)
            continue
        _fit(segment, spoken, length, silent_since)
        timed.append(_in_order(segment, spoken, earliest))
        earliest = silent_since = timed[-1].end
    return tuple(timed)


def _split(
    segments: Sequence[DecodedSegment], tokenizer: WhisperTokenizer, language: str, times: npt.NDArray[np.float32]
) -> list[list[WordTiming]]:
    """The words of each segment, each with the times of its tokens."""
    split = []
    position = 0
    for segment in segments:
        words = []
        pairs = [
            (token, p) for token, p in zip(segment.tokens, segment.token_logprobs, strict=True) if token < tokenizer.eot
        ]
        logprobs = [logprob for _, logprob in pairs]
        done = 0
        for text, tokens in tokenizer.split_words([token for token, _ in pairs], language):
            first, last = position + done, position + done + len(tokens)
            probability = float(np.mean(np.exp(logprobs[done : done + len(tokens)])))
            words.append(WordTiming(text, list(tokens), float(times[first]), float(times[last]), probability))
            done += len(tokens)
        split.append(words)
        position += len(pairs)
    return split


def _length(words: Sequence[WordTiming]) -> _Length:
    lengths = [word.end - word.start for word in words if word.end > word.start]
    median = min(LONGEST_MEDIAN, float(np.median(lengths))) if lengths else 0.0
    return _Length(median, 2 * median)


def _shorten_at_sentence_ends(words: Sequence[WordTiming], length: _Length) -> None:
    """A sentence's mark takes no longer than a long word, nor does the word behind it."""
    if not length.longest:
        return
    for before, word in pairwise(words):
        if word.end - word.start <= length.longest:
            continue
        if word.word in SENTENCE_ENDS:
            word.end = word.start + length.longest
        elif before.word in SENTENCE_ENDS:
            word.start = word.end - length.longest


def _fit(segment: DecodedSegment, words: Sequence[WordTiming], length: _Length, silent_since: float) -> None:
    """Shorten the first words after a pause, and settle where words and segment disagree about start and end."""
    first, last = words[0], words[-1]
    if first.end - silent_since > 4 * length.median:
        _shorten_after_pause(words, length)
    start, end = segment.start, segment.end
    if start < first.end and start - TRUSTED > first.start:
        first.start = max(0.0, min(first.end - length.median, start))
    if end > last.start and end + TRUSTED < last.end:
        last.end = min(last.end, max(last.start + length.median, end))  # Never beyond the audio.


def _shorten_after_pause(words: Sequence[WordTiming], length: _Length) -> None:
    first = words[0]
    second = words[1] if len(words) > 1 else None
    both_too_long = second is not None and second.end - first.start > 2 * length.longest
    if first.end - first.start <= length.longest and not both_too_long:
        return
    if second is not None and second.end - second.start > length.longest:
        first.end = second.start = max(second.end / 2, second.end - length.longest)
    first.start = max(0.0, first.end - length.longest)


def _in_order(segment: DecodedSegment, words: Sequence[WordTiming], earliest: float) -> DecodedSegment:
    """The segment with its words, none of which begins before the one before it ends."""
    ordered = []
    for word in words:
        start = max(word.start, earliest)
        earliest = max(word.end, start)
        ordered.append(DecodedWord(word.word, start, earliest, word.probability))
    return replace(segment, start=ordered[0].start, end=earliest, words=tuple(ordered))

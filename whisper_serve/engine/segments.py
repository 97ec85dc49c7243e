"""From timestamp tokens to segments, as openai-whisper's ``transcribe`` does it for one window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from .results import DecodedSegment, DecodingResult, DroppedSegment
from .tokenizer import WhisperTokenizer

SECONDS_PER_TIMESTAMP: Final = 0.02


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The segments of one decoding, and how far into the window it got."""

    segments: tuple[DecodedSegment, ...]
    consumed: float
    """Seconds; less than the window's duration where the model stopped before its end."""
    dropped: DroppedSegment | None = None
    """Text that is in none of the segments."""


def segment(result: DecodingResult, tokenizer: WhisperTokenizer, duration: float) -> Segmentation:
    """Cut a decoding at its pairs of timestamps.

    A window ends in a pause, so text behind the last pair is kept as a segment up to the window's end, unless the
    token limit cut it short: then, or if nothing follows the last pair, the rest is for another decoding.

    The model hears every window filled up to 30 s, and of a short one it may count on beyond its end: here no time is
    later than that. A segment that begins there begins where the one before it ended.

    Args:
        duration: seconds of audio in the window.
    """
    begin = tokenizer.timestamp_begin
    tokens = result.tokens
    is_time = [token >= begin for token in tokens]
    cuts = [i for i in range(1, len(tokens)) if is_time[i - 1] and is_time[i]]
    ends_with_time = is_time[-2:] == [False, True]
    if not cuts:
        end = _last_time(tokens, begin, duration)
        return Segmentation(tuple(_make(result, tokenizer, [(0.0, end, 0, len(tokens))], duration)), duration)
    stop = len(tokens)
    consumed = duration
    rest = tokens[cuts[-1] :]
    unfinished = not ends_with_time and (not result.finished or not any(token < tokenizer.eot for token in rest))
    if unfinished:
        stop = cuts[-1]
        consumed = min(duration, (tokens[stop - 1] - begin) * SECONDS_PER_TIMESTAMP)
    bounds = [0, *[cut for cut in cuts if cut < stop], stop]
    pieces = []
    for left, right in pairwise(bounds):
        piece = tokens[left:right]
        closed = piece[-1] >= begin and len(piece) > 1
        end = (piece[-1] - begin) * SECONDS_PER_TIMESTAMP if closed else duration
        pieces.append(((piece[0] - begin) * SECONDS_PER_TIMESTAMP, end, left, right))
    return Segmentation(tuple(_make(result, tokenizer, pieces, duration)), consumed)


def _last_time(tokens: tuple[int, ...], begin: int, duration: float) -> float:
    """Time of the last timestamp, or the window's end where there is none but that of its start."""
    times = [token - begin for token in tokens if token >= begin]
    return times[-1] * SECONDS_PER_TIMESTAMP if times and times[-1] > 0 else duration


def _make(
    result: DecodingResult, tokenizer: WhisperTokenizer, pieces: list[tuple[float, float, int, int]], duration: float
) -> Iterator[DecodedSegment]:
    """Segments of the pieces that say something: start and end in seconds, and in the decoding's tokens."""
    said = 0.0
    for start, end, first, stop in pieces:
        tokens = result.tokens[first:stop]
        text = tokenizer.decode(tokens)
        if text.strip():
            begin = start if start < duration else said
            said = min(max(begin, end), duration)
            yield DecodedSegment(begin, said, text, tokens, result.token_logprobs[first:stop], result)

"""What of a decoding is believed: its segments, and what is dropped because nobody said it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from whisper.utils import compression_ratio

from .fallback import is_improbable, is_silence
from .options import DecodingOptions
from .repetition import SHORTEST_CYCLE, SHORTEST_DOUBTED_CYCLE, repeated_places
from .results import DecodingResult, DroppedSegment
from .segments import SECONDS_PER_TIMESTAMP, Segmentation, segment
from .tokenizer import WhisperTokenizer


def believed(
    decoding: DecodingResult, options: DecodingOptions, tokenizer: WhisperTokenizer, duration: float
) -> Segmentation:
    """The segments of a decoding: none where there is silence, and of a cycle only its first occurrence.

    Args:
        duration: seconds of audio in the window.
    """
    if is_silence(decoding, options):
        text = tokenizer.decode(decoding.tokens).strip()
        return Segmentation((), duration, DroppedSegment(0.0, duration, "silence", text) if text else None)
    if lost := _repeated(decoding, options, tokenizer):
        once, dropped = _once(decoding, lost, tokenizer, duration)
        return replace(segment(once, tokenizer, duration), dropped=dropped)
    return segment(decoding, tokenizer, duration)


def _repeated(decoding: DecodingResult, options: DecodingOptions, tokenizer: WhisperTokenizer) -> list[int]:
    """Places of the tokens that repeat a cycle: of a short one too where the model doubts its text."""
    doubted = is_improbable(decoding, options)
    if options.compression_ratio_threshold is None or not (decoding.loops or doubted):
        return []
    places = [place for place, token in enumerate(decoding.tokens) if token < tokenizer.eot]
    repeated = repeated_places(
        [decoding.tokens[place] for place in places],
        finished=decoding.finished,
        shortest=SHORTEST_DOUBTED_CYCLE if doubted else SHORTEST_CYCLE,
    )
    return [places[number] for number in repeated]


def _once(
    decoding: DecodingResult, lost: Sequence[int], tokenizer: WhisperTokenizer, duration: float
) -> tuple[DecodingResult, DroppedSegment]:
    """The decoding without the tokens at those places, and these. Timestamps stay: they belong to what is around."""
    tokens, logprobs = decoding.tokens, decoding.token_logprobs
    kept = sorted(set(range(len(tokens))).difference(lost))
    text = tokenizer.decode_with_special([tokens[place] for place in kept]).strip()
    total = decoding.avg_logprob * (len(tokens) + 1) - sum(logprobs[place] for place in lost)
    once = replace(
        decoding,
        tokens=tuple(tokens[place] for place in kept),
        token_logprobs=tuple(logprobs[place] for place in kept),
        text=text,
        avg_logprob=total / (len(kept) + 1),
        compression_ratio=compression_ratio(text),
        loops=False,
    )
    said = tokenizer.decode([tokens[place] for place in lost]).strip()
    # In a circle the model may count on beyond the window's end.
    start = [0.0, *_times(tokens[: lost[0]], tokenizer)][-1]
    end = [*_times(tokens[lost[-1] :], tokenizer), duration][0]
    return once, DroppedSegment(min(start, duration), min(end, duration), "repetition", said)


def _times(tokens: tuple[int, ...], tokenizer: WhisperTokenizer) -> list[float]:
    """Seconds of the timestamps among the tokens."""
    begin = tokenizer.timestamp_begin
    return [(token - begin) * SECONDS_PER_TIMESTAMP for token in tokens if token >= begin]

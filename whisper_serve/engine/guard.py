"""What of a decoding is believed: its segments, and what is dropped because nobody said it."""

from __future__ import annotations

from dataclasses import replace

from whisper.utils import compression_ratio

from .fallback import is_repetitive, is_silence
from .options import DecodingOptions
from .repetition import repeated_places
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
    if decoding.loops and is_repetitive(decoding, options):
        once, dropped = _once(decoding, tokenizer, duration)
        return replace(segment(once, tokenizer, duration), dropped=dropped)
    return segment(decoding, tokenizer, duration)


def _once(
    decoding: DecodingResult, tokenizer: WhisperTokenizer, duration: float
) -> tuple[DecodingResult, DroppedSegment]:
    """The decoding without the repetitions of its cycles, and these. Timestamps stay: they belong to what is around."""
    tokens, logprobs = decoding.tokens, decoding.token_logprobs
    places = [place for place, token in enumerate(tokens) if token < tokenizer.eot]
    repeated = repeated_places([tokens[place] for place in places], finished=decoding.finished)
    lost = [places[number] for number in repeated]
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

"""When a decoding is good enough, and what it says about silence (Radford et al. 2022, section 4.5)."""

from __future__ import annotations

from collections.abc import Sequence

from .options import DecodingOptions
from .results import DecodingResult


def is_silence(result: DecodingResult, options: DecodingOptions) -> bool:
    """Whether the window holds no speech, so that its text is to be dropped."""
    if options.no_speech_threshold is None or result.no_speech_prob <= options.no_speech_threshold:
        return False
    return options.logprob_threshold is None or result.avg_logprob <= options.logprob_threshold


def is_repetitive(result: DecodingResult, options: DecodingOptions) -> bool:
    """Whether the text repeats itself: as a whole, or somewhere in a circle (which is not in the paper)."""
    threshold = options.compression_ratio_threshold
    return threshold is not None and (result.loops or result.compression_ratio > threshold)


def needs_fallback(result: DecodingResult, options: DecodingOptions) -> bool:
    """Whether to decode again in the next way: the text repeats itself or is improbable, and not silence."""
    improbable = options.logprob_threshold is not None and result.avg_logprob < options.logprob_threshold
    if improbable and options.no_speech_threshold is not None and result.no_speech_prob > options.no_speech_threshold:
        return False
    return improbable or is_repetitive(result, options)


def next_attempt(attempt: int, failed: DecodingResult, options: DecodingOptions) -> int | None:
    """Which of the options' attempts comes after one that failed; None after the last.

    A text that repeats itself is likely, which is what it fails for: it is not searched for one more likely.
    """
    following = options.attempts[attempt + 1 :]
    skipped = 1 if following and following[0].beam_size and is_repetitive(failed, options) else 0
    return attempt + 1 + skipped if len(following) > skipped else None


def best_failed(results: Sequence[DecodingResult], options: DecodingOptions) -> DecodingResult:
    """What to keep if no attempt gave a text that passes: the likeliest that does not repeat itself, else the last.

    openai-whisper keeps the last, which at a temperature of 1 may be anything.
    """
    others = [result for result in results if not is_repetitive(result, options)]
    return max(others, key=lambda result: result.avg_logprob) if others else results[-1]

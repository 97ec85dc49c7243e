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


def is_improbable(result: DecodingResult, options: DecodingOptions) -> bool:
    """Whether the model itself doubts the text."""
    return options.logprob_threshold is not None and result.avg_logprob < options.logprob_threshold


def needs_fallback(result: DecodingResult, options: DecodingOptions) -> bool:
    """Whether to decode again in the next way: the text repeats itself or is improbable, and not silence."""
    improbable = is_improbable(result, options)
    if improbable and options.no_speech_threshold is not None and result.no_speech_prob > options.no_speech_threshold:
        return False
    return improbable or is_repetitive(result, options)


def next_attempt(attempt: int, tried: Sequence[DecodingResult], options: DecodingOptions) -> int | None:
    """Which of the options' attempts comes after the last one tried; None where there is a result to keep.

    A text that repeats itself is likely, which is what it fails for: it is not searched for one more likely.
    """
    *earlier, newest = tried
    following = options.attempts[attempt + 1 :]
    search = 1 if following and following[0].beam_size else 0
    if not needs_fallback(newest, options):
        return attempt + 1 if search and _is_unsure(newest, options) else None
    if not all(needs_fallback(one, options) for one in earlier):
        return None
    skipped = search if is_repetitive(newest, options) else 0
    return attempt + 1 + skipped if len(following) > skipped else None


def _is_unsure(result: DecodingResult, options: DecodingOptions) -> bool:
    threshold = options.search_threshold
    return threshold is not None and result.avg_logprob < threshold and not is_silence(result, options)


def best_decoding(tried: Sequence[DecodingResult], options: DecodingOptions) -> DecodingResult:
    """The likeliest that passes; if none does, the likeliest that does not repeat itself, else the last.

    openai-whisper keeps the last then, which at a temperature of 1 may be anything.
    """
    for is_bad in (needs_fallback, is_repetitive):
        if good := [one for one in tried if not is_bad(one, options)]:
            return max(good, key=lambda one: one.avg_logprob)
    return tried[-1]

"""When a decoding is good enough, and what it says about silence (Radford et al. 2022, section 4.5)."""

from __future__ import annotations

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
    """Whether to decode again at the next temperature: the text repeats itself or is improbable, and not silence."""
    improbable = options.logprob_threshold is not None and result.avg_logprob < options.logprob_threshold
    if improbable and options.no_speech_threshold is not None and result.no_speech_prob > options.no_speech_threshold:
        return False
    return improbable or is_repetitive(result, options)

from __future__ import annotations

from dataclasses import replace

import pytest

from whisper_serve.engine import DecodingOptions, DecodingResult
from whisper_serve.engine.fallback import is_silence, needs_fallback

GOOD = DecodingResult((1,), (-0.2,), "good", "en", None, 0.0, -0.2, 1.2, 0.1, True)
OPTIONS = DecodingOptions()


@pytest.mark.parametrize(
    ("changes", "options", "again", "silent"),
    [
        ({}, OPTIONS, False, False),
        ({"avg_logprob": -1.5}, OPTIONS, True, False),
        ({"compression_ratio": 3.0}, OPTIONS, True, False),
        ({"avg_logprob": -1.5, "no_speech_prob": 0.9}, OPTIONS, False, True),
        ({"no_speech_prob": 0.9}, OPTIONS, False, False),
        ({"avg_logprob": -1.5, "compression_ratio": 3.0, "no_speech_prob": 0.9}, OPTIONS, False, True),
        ({"avg_logprob": -1.5}, replace(OPTIONS, logprob_threshold=None), False, False),
        ({"compression_ratio": 3.0}, replace(OPTIONS, compression_ratio_threshold=None), False, False),
        ({"loops": True}, OPTIONS, True, False),
        ({"loops": True}, replace(OPTIONS, compression_ratio_threshold=None), False, False),
        ({"no_speech_prob": 0.9}, replace(OPTIONS, logprob_threshold=None), False, True),
        ({"avg_logprob": -1.5, "no_speech_prob": 0.9}, replace(OPTIONS, no_speech_threshold=None), True, False),
    ],
)
def test_thresholds_decide(changes: dict[str, float], options: DecodingOptions, again: bool, silent: bool) -> None:
    result = replace(GOOD, **changes)  # type: ignore[arg-type]
    assert needs_fallback(result, options) is again
    assert is_silence(result, options) is silent

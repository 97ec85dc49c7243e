from __future__ import annotations

from dataclasses import replace

import pytest

from whisper_serve.engine import DecodingOptions, DecodingResult
from whisper_serve.engine.fallback import best_failed, is_silence, needs_fallback, next_attempt

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


def test_of_texts_that_all_fail_the_likeliest_is_kept() -> None:
    unsure = replace(GOOD, avg_logprob=-1.3)
    wild = replace(GOOD, avg_logprob=-2.5, temperature=1.0)
    circling = replace(GOOD, avg_logprob=-0.1, loops=True)
    assert best_failed([circling, unsure, wild], OPTIONS) is unsure
    assert best_failed([unsure, wild, circling], OPTIONS) is unsure
    assert best_failed([circling, wild], replace(OPTIONS, compression_ratio_threshold=None)) is circling
    last = replace(circling, avg_logprob=-0.5, temperature=1.0)
    assert best_failed([circling, last], OPTIONS) is last


@pytest.mark.parametrize(
    ("changes", "tried"),
    [
        ({"avg_logprob": -1.5}, [0, 1, 2, 3]),
        ({"loops": True}, [0, 2, 3]),
        ({"compression_ratio": 3.0}, [0, 2, 3]),
    ],
)
def test_what_repeats_itself_is_not_searched(changes: dict[str, float], tried: list[int]) -> None:
    options = replace(OPTIONS, temperatures=(0.0, 0.4, 1.0))
    failed = replace(GOOD, **changes)  # type: ignore[arg-type]
    assert [next_attempt(attempt, failed, options) for attempt in tried] == [*tried[1:], None]
    assert next_attempt(0, failed, replace(options, temperatures=(0.0,))) is None

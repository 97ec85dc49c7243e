from __future__ import annotations

from dataclasses import replace

import pytest

from whisper_serve.engine import DecodingOptions, DecodingResult
from whisper_serve.engine.fallback import best_decoding, is_silence, needs_fallback, next_attempt

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


def test_the_likeliest_text_that_passes_is_kept_or_else_the_likeliest_that_does_not_repeat_itself() -> None:
    unsure = replace(GOOD, avg_logprob=-1.3)
    wild = replace(GOOD, avg_logprob=-2.5, temperature=1.0)
    circling = replace(GOOD, avg_logprob=-0.1, loops=True)
    better = replace(GOOD, avg_logprob=-0.15)
    assert best_decoding([unsure, circling, GOOD], OPTIONS) is GOOD
    assert best_decoding([GOOD, better], OPTIONS) is best_decoding([better, GOOD], OPTIONS) is better
    assert best_decoding([circling, unsure, wild], OPTIONS) is unsure
    assert best_decoding([unsure, wild, circling], OPTIONS) is unsure
    assert best_decoding([circling, wild], replace(OPTIONS, compression_ratio_threshold=None)) is circling
    last = replace(circling, avg_logprob=-0.5, temperature=1.0)
    assert best_decoding([circling, last], OPTIONS) is last


@pytest.mark.parametrize(
    ("changes", "attempts"),
    [
        ({"avg_logprob": -1.5}, [0, 1, 2, 3]),
        ({"loops": True}, [0, 2, 3]),
        ({"compression_ratio": 3.0}, [0, 2, 3]),
        ({}, [0]),
    ],
)
def test_what_fails_is_searched_unless_it_repeats_itself_and_then_sampled(
    changes: dict[str, float], attempts: list[int]
) -> None:
    options = replace(OPTIONS, temperatures=(0.0, 0.4, 1.0))
    result = replace(GOOD, **changes)  # type: ignore[arg-type]
    tried = [result] * len(attempts)
    following = [next_attempt(attempt, tried[: i + 1], options) for i, attempt in enumerate(attempts)]
    assert following == [*attempts[1:], None]
    assert next_attempt(0, [result], replace(options, temperatures=(0.0,))) is None


def test_what_passes_is_searched_if_it_is_unsure_and_no_further() -> None:
    options = replace(OPTIONS, search_threshold=-0.4)
    sure, unsure = replace(GOOD, avg_logprob=-0.3), replace(GOOD, avg_logprob=-0.5)
    assert next_attempt(0, [sure], options) is None
    assert next_attempt(0, [unsure], options) == 1
    assert next_attempt(0, [unsure], OPTIONS) is None
    assert next_attempt(0, [unsure], replace(options, beam_size=3)) is None
    assert next_attempt(0, [replace(unsure, avg_logprob=-1.5, no_speech_prob=0.9)], options) is None
    assert next_attempt(1, [unsure, sure], options) is None
    assert next_attempt(1, [unsure, replace(GOOD, avg_logprob=-1.5)], options) is None

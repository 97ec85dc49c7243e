from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from whisper.utils import compression_ratio

from tests.tiny import TINY
from whisper_serve.engine import DecodingOptions, Engine
from whisper_serve.engine.guard import believed
from whisper_serve.engine.repetition import find_cycle
from whisper_serve.engine.results import DecodingResult, DroppedSegment
from whisper_serve.engine.rules import TokenRules
from whisper_serve.engine.task import Audio
from whisper_serve.engine.tokenizer import WhisperTokenizer

TOKENIZER = WhisperTokenizer(TINY)
THANKS = " Thank you."
OPTIONS = DecodingOptions(language="en", temperatures=(0.0,), max_tokens=60, logprob_threshold=None)
"""The tiny model is sure of nothing; 60 tokens are about what its context holds."""


def tokens_of(*parts: float | str) -> list[int]:
    """Tokens of texts and times in seconds."""
    tokens: list[int] = []
    for part in parts:
        tokens += TOKENIZER.encode(part) if isinstance(part, str) else [TOKENIZER.timestamp_begin + round(part / 0.02)]
    return tokens


def decoding(*parts: float | str, finished: bool = True, no_speech_prob: float = 0.0) -> DecodingResult:
    tokens = tokens_of(*parts)
    logprobs = tuple(-0.01 * (1 + place % 7) for place in range(len(tokens)))
    text = TOKENIZER.decode_with_special(tokens).strip()
    mean = (sum(logprobs) - 0.5) / (len(tokens) + 1)
    ratio = compression_ratio(text)
    loops = find_cycle([token for token in tokens if token < TOKENIZER.eot]) is not None
    return DecodingResult(
        tuple(tokens), logprobs, text, "en", None, 0.0, mean, ratio, no_speech_prob, finished, loops=loops
    )


def over_and_over(start: int, stop: int) -> list[float | str]:
    """One segment a second, each with the same text."""
    return [part for second in range(start, stop) for part in (float(second), THANKS, second + 1.0)]


def test_a_plain_decoding_is_believed() -> None:
    found = believed(decoding(0.0, " One.", 4.0, 4.5, " Two.", 9.0), OPTIONS, TOKENIZER, 10.0)
    assert [one.text for one in found.segments] == [" One.", " Two."]
    assert found.dropped is None


def test_of_a_cycle_in_a_segment_one_occurrence_remains() -> None:
    said = decoding(0.0, " Good night.", 2.0, 2.0, THANKS * 15, 9.0, 9.0, " Bye.", 10.0)
    found = believed(said, OPTIONS, TOKENIZER, 10.0)
    assert [(one.start, one.end, one.text) for one in found.segments] == [
        (0.0, 2.0, " Good night."),
        (2.0, 9.0, THANKS),
        (9.0, 10.0, " Bye."),
    ]
    assert found.dropped == DroppedSegment(2.0, 9.0, "repetition", (THANKS * 14).strip())


def test_of_a_cycle_of_segments_the_first_remains() -> None:
    found = believed(decoding(*over_and_over(0, 15), 15.0, " Bye.", 16.0), OPTIONS, TOKENIZER, 16.0)
    assert [(one.start, one.end, one.text) for one in found.segments] == [(0.0, 1.0, THANKS), (15.0, 16.0, " Bye.")]
    assert found.dropped == DroppedSegment(1.0, 15.0, "repetition", (THANKS * 14).strip())


def test_a_cycle_up_to_the_token_limit_reaches_to_the_windows_end() -> None:
    found = believed(decoding(0.0, THANKS * 20, " Thank", finished=False), OPTIONS, TOKENIZER, 10.0)
    assert [(one.start, one.end, one.text) for one in found.segments] == [(0.0, 10.0, THANKS)]
    assert found.dropped == DroppedSegment(0.0, 10.0, "repetition", (THANKS * 19 + " Thank").strip())


def test_what_was_dropped_lies_within_the_window() -> None:
    found = believed(decoding(*over_and_over(0, 15)), OPTIONS, TOKENIZER, 10.0)
    assert found.dropped == DroppedSegment(1.0, 10.0, "repetition", (THANKS * 14).strip())


def test_what_is_left_has_its_own_tokens_and_measures() -> None:
    said = decoding(0.0, " Good night." + THANKS * 15, 9.0)
    [segment] = believed(said, OPTIONS, TOKENIZER, 10.0).segments
    plain = decoding(0.0, " Good night." + THANKS, 9.0)
    assert segment.decoding.text == plain.text
    assert segment.tokens == segment.decoding.tokens == plain.tokens
    kept = (*said.token_logprobs[: len(plain.tokens) - 1], said.token_logprobs[-1])
    assert segment.token_logprobs == segment.decoding.token_logprobs == kept
    assert segment.decoding.avg_logprob == pytest.approx((sum(kept) - 0.5) / (len(kept) + 1))
    assert segment.decoding.compression_ratio == plain.compression_ratio < said.compression_ratio
    assert not segment.decoding.loops


@pytest.mark.parametrize(("threshold", "kept"), [(-0.01, 1), (-1.0, 5), (None, 5)])
def test_of_a_short_cycle_one_occurrence_remains_where_the_model_doubts_its_text(
    threshold: float | None, kept: int
) -> None:
    said = decoding(0.0, " Good night." + THANKS * 5, 9.0)
    assert not said.loops
    found = believed(said, replace(OPTIONS, logprob_threshold=threshold), TOKENIZER, 10.0)
    assert [one.text for one in found.segments] == [" Good night." + THANKS * kept]
    assert (found.dropped is None) == (kept == 5)


def test_a_circle_stays_where_the_check_is_off() -> None:
    said = decoding(0.0, THANKS * 15, 9.0)
    found = believed(said, replace(OPTIONS, compression_ratio_threshold=None), TOKENIZER, 10.0)
    assert [one.text for one in found.segments] == [THANKS * 15]
    assert found.dropped is None


@pytest.mark.parametrize(("text", "dropped"), [(" Bye.", DroppedSegment(0.0, 10.0, "silence", "Bye.")), (" ", None)])
def test_text_in_silence_is_reported_if_there_is_any(text: str, dropped: DroppedSegment | None) -> None:
    found = believed(decoding(0.0, text, 4.0, no_speech_prob=0.9), OPTIONS, TOKENIZER, 10.0)
    assert (found.segments, found.consumed, found.dropped) == ((), 10.0, dropped)


def speak(monkeypatch: pytest.MonkeyPatch, tokens: Sequence[int], eot: int) -> None:
    """Have the model say these tokens in each decoding, and then stop."""
    forbid = TokenRules.forbid
    script = itertools.cycle([*tokens, eot])

    def force(rules: TokenRules, logits: torch.Tensor) -> None:
        forbid(rules, logits)
        rules.urged = torch.zeros_like(rules.urged)
        logits[:, next(script)] = 1e6

    monkeypatch.setattr(TokenRules, "forbid", force)


def test_a_cycle_is_tried_at_every_temperature_and_then_cut(
    tiny_engine: Engine, noises: Sequence[Audio], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = tokens_of(0.0, " Good night." + THANKS * 13, 9.0)
    speak(monkeypatch, tokens, tiny_engine.tokenizer.eot)
    # Of itself the text would pass.
    options = replace(OPTIONS, compression_ratio_threshold=9.0, temperatures=(0.0, 0.4, 0.8))
    [result] = tiny_engine.transcribe([noises[3]], options)
    assert (result.fallbacks, result.decodings[0].temperature) == (2, 0.8)
    assert [(one.start, one.end, one.text) for one in result.segments] == [(0.0, 9.0, " Good night." + THANKS)]
    assert result.dropped == (DroppedSegment(0.0, 9.0, "repetition", (THANKS * 12).strip()),)


def test_a_plain_decoding_is_what_the_model_says(
    tiny_engine: Engine, noises: Sequence[Audio], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = tokens_of(0.0, THANKS * 13, 9.0)
    speak(monkeypatch, tokens, tiny_engine.tokenizer.eot)
    [result] = tiny_engine.decode([noises[3]], OPTIONS)
    assert result.tokens == tuple(tokens)
    assert result.loops


def test_a_window_is_given_up_after_its_second_cycle(
    tiny_engine: Engine, noises: Sequence[Audio], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each decoding says that it got eleven seconds far: of the window there would be a third.
    tokens = tokens_of(*over_and_over(0, 11), 11.0)
    speak(monkeypatch, tokens, tiny_engine.tokenizer.eot)
    [result] = tiny_engine.transcribe([noises[0]], OPTIONS)
    assert len(result.decodings) == 2
    assert [(one.start, one.end, one.text) for one in result.segments] == [(0.0, 1.0, THANKS), (11.0, 12.0, THANKS)]
    assert [(one.start, one.end, one.reason) for one in result.dropped] == [
        (1.0, 11.0, "repetition"),
        (12.0, 22.0, "repetition"),
    ]

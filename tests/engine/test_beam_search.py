"""Beam search and samples against openai-whisper, and batches of them against each window alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from whisper.decoding import MaximumLikelihoodRanker
from whisper.model import Whisper

from tests.engine.conftest import Reference, openai_model
from tests.engine.test_engine import GREEDY, LONG, MIXED
from tests.engine.test_graphs import Graphs, assert_same
from whisper_serve.engine import DecodingOptions, Engine
from whisper_serve.engine.batch_size import windows_at_once
from whisper_serve.engine.beam_search import Beam, BeamSearch, Step
from whisper_serve.engine.engine import Audio
from whisper_serve.engine.options import Attempt
from whisper_serve.engine.shared_cache import SharedCache
from whisper_serve.engine.strategy import Strategy, likeliest
from whisper_serve.engine.weights import Weights
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.speech import WINDOW_SAMPLES, load_audio

# openai-whisper has NumPy sort a tensor.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")

BEAMS = replace(GREEDY, beam_size=5)
SAMPLES = replace(GREEDY, temperatures=(0.8,), best_of=3)
ASKED = (
    BEAMS,
    replace(BEAMS, patience=2.0),
    replace(BEAMS, beam_size=2, patience=0.5, length_penalty=0.6),
    replace(BEAMS, timestamps=False, length_penalty=1.0),
    replace(BEAMS, beam_size=10, prompt="une histoire", language="fr"),
    replace(BEAMS, suppress_tokens=(*range(400), -1), timestamps=False),
    replace(BEAMS, beam_size=1, patience=3.0),
)


@pytest.mark.parametrize("options", ASKED, ids=range(len(ASKED)))
def test_beams_find_the_text_of_openai_whisper(
    tiny_engine: Engine,
    tiny_reference: Whisper,
    decode_reference: Reference,
    noises: Sequence[Audio],
    options: DecodingOptions,
) -> None:
    windows = noises[:3]
    for ours, window in zip(tiny_engine.decode(windows, options), windows, strict=True):
        theirs = decode_reference(tiny_reference, window, options)
        assert ours.tokens == tuple(theirs.tokens)
        assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-4)
        assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-6)
        assert len(ours.token_logprobs) == len(ours.tokens)
        total = sum(ours.token_logprobs)
        if not ours.finished:
            assert total / (len(ours.tokens) + 1) == pytest.approx(ours.avg_logprob, abs=1e-5)


@pytest.mark.parametrize("options", [*ASKED[:2], ASKED[3]], ids=range(3))
def test_texts_end_where_those_of_openai_whisper_end(
    terse_weights: Weights, decode_reference: Reference, noises: Sequence[Audio], options: DecodingOptions
) -> None:
    engine = Engine.load(terse_weights, "cpu", "float32")
    found = engine.decode(noises, options)
    assert any(result.finished for result in found)
    assert_same(found, [engine.decode([window], options)[0] for window in noises])
    reference = openai_model(terse_weights)
    for ours, window in zip(found[:3], noises[:3], strict=True):
        theirs = decode_reference(reference, window, options)
        assert ours.tokens == tuple(theirs.tokens)
        assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-4)


STEADY_SAMPLES = replace(SAMPLES, temperatures=(0.1,))
"""Of a flat distribution at a higher temperature, rounding, which is another in each batch, can change a sample."""
# Of one kind each: greedy rows, beams of several sizes, samples, other symbols left out.
KINDS = (
    *ASKED[:5],
    *MIXED[:4],
    STEADY_SAMPLES,
    replace(STEADY_SAMPLES, length_penalty=0.5),
    replace(GREEDY, suppress_tokens=()),
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(st.sampled_from(KINDS), min_size=2, max_size=8), batch_size=st.sampled_from([2, 8]))
def test_a_batch_of_all_strategies_equals_each_window_alone(
    tiny_engine: Engine, noises: Sequence[Audio], chosen: list[DecodingOptions], batch_size: int
) -> None:
    windows = noises[: len(chosen)]
    together = Engine(tiny_engine.model, "tiny", batch_size).decode(windows, chosen)
    alone = [tiny_engine.decode([window], one)[0] for window, one in zip(windows, chosen, strict=True)]
    assert_same(together, alone)


def test_what_has_no_graphs_is_decoded_beside_what_has(tiny_engine: Engine, noises: Sequence[Audio]) -> None:
    options = [BEAMS, GREEDY, STEADY_SAMPLES, replace(GREEDY, suppress_tokens=(11,)), GREEDY, ASKED[4], GREEDY, SAMPLES]
    graphs = Graphs()
    assert_same(graphs.engine(tiny_engine.model).decode(noises, options), tiny_engine.decode(noises, options))
    assert graphs.replays > graphs.captures > 0


def test_the_best_of_some_samples_is_the_likeliest(tiny_engine: Engine, noises: Sequence[Audio]) -> None:
    one = tiny_engine.decode(noises[:4], replace(SAMPLES, best_of=None))
    three = tiny_engine.decode(noises[:4], SAMPLES)
    assert [result.tokens for result in three] == [result.tokens for result in tiny_engine.decode(noises[:4], SAMPLES)]
    means = [[result.avg_logprob for result in results] for results in (one, three)]
    # The first sample of three is the one that is drawn alone.
    assert all(best >= single - 1e-6 for single, best in zip(*means, strict=True))
    assert means[0] != means[1]


def test_beams_are_for_temperature_0_and_samples_for_those_above(tiny_engine: Engine, noises: Sequence[Audio]) -> None:
    # With a threshold of 0 every text is repetitive, and every temperature is tried.
    both = replace(BEAMS, temperatures=(0.0, 0.8), best_of=3, compression_ratio_threshold=0.0)
    found = tiny_engine.transcribe(noises[:2], both)
    seeded = tiny_engine.decode(noises[:2], replace(both, temperatures=(0.8,), beam_size=None))
    assert [result.fallbacks for result in found] == [1, 1]
    assert [result.decodings[0].temperature for result in found] == [0.8, 0.8]
    assert all(one.decodings[0].tokens != other.tokens for one, other in zip(found, seeded, strict=True)), "same seed"


@pytest.mark.parametrize("options", [GREEDY, BEAMS, SAMPLES], ids=["greedy", "beams", "samples"])
def test_suppressed_tokens_are_never_said(
    tiny_engine: Engine, noises: Sequence[Audio], options: DecodingOptions
) -> None:
    free = tiny_engine.decode([noises[0]], replace(options, timestamps=False))[0]
    unwanted = tuple(set(free.tokens))
    kept = replace(options, timestamps=False, suppress_tokens=(-1, *unwanted))
    assert not set(unwanted) & set(tiny_engine.decode([noises[0]], kept)[0].tokens)


def test_tokens_that_are_no_text_cannot_be_suppressed(tiny_engine: Engine, noises: Sequence[Audio]) -> None:
    with pytest.raises(ValueError, match="suppress_tokens must be text, ids below 50257, not 50257"):
        tiny_engine.transcribe([noises[4]], replace(GREEDY, suppress_tokens=(-1, 50257)))


def test_batches_whose_beams_do_not_fit_into_memory_are_halved(
    tiny_engine: Engine, noises: Sequence[Audio], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [result.tokens for result in tiny_engine.decode(noises, BEAMS)]
    engine = Engine(tiny_engine.model, "tiny", batch_size=8)
    rows = []
    reserve = SharedCache.reserve

    def small(cache: SharedCache, context: int) -> None:
        rows.append(cache.rows)
        if cache.rows > 12:
            raise torch.OutOfMemoryError("CUDA out of memory")
        reserve(cache, context)

    monkeypatch.setattr(SharedCache, "reserve", small)
    assert [result.tokens for result in engine.decode(noises, BEAMS)] == expected
    assert max(rows) > 12 >= rows[-1]
    assert engine.batch_size < 8


def test_beams_take_a_share_of_a_batch() -> None:
    assert windows_at_once(LONG, 4, 16, 1) == 16
    sizes = [windows_at_once(LONG, 4, 16, width) for width in range(1, 11)]
    assert sizes == sorted(sizes, reverse=True)
    assert 1 < sizes[4] < 16
    assert windows_at_once(LONG, 4, 1, 10) == 1


def test_a_search_keeps_the_likeliest_texts_and_those_that_ended() -> None:
    search = BeamSearch(2, eot=9, limit=3)
    search.advance([Step(0, 1, -0.1, -0.1), Step(0, 2, -2.0, -2.0)])
    assert (search.common, search.done) == (0, False)
    taken = search.advance([Step(0, 3, -0.1, -0.2), Step(0, 9, -0.2, -0.3), Step(0, 4, -0.5, -0.6), Step(1, 9, 0, -2)])
    assert [(step.beam, step.token) for step in taken] == [(0, 3), (0, 4)]
    assert search.ended == [Beam((1,), (-0.1,), -0.3, ended=True)], "what comes behind the last beam has not ended"
    assert (search.common, search.done) == (1, False)
    search.advance([Step(0, 5, -0.1, -0.3), Step(0, 6, -0.2, -0.4)])
    assert (search.common, search.done) == (2, True), "the limit"
    assert search.best(None).tokens == (1, 3, 5)
    assert search.best(0.0).tokens == (1,)


def test_a_search_knows_where_its_text_was_not_let_stop() -> None:
    search = BeamSearch(1, eot=9, limit=3)
    for urged, expected in ((False, ()), (True, (1,)), (True, (1, 2))):
        search.advance([Step(0, 1, -0.1, -0.1, urged)])
        assert search.best(None).urges == expected


@given(
    texts=st.lists(st.tuples(st.integers(1, 30), st.floats(-50, 0)), min_size=1, max_size=8),
    penalty=st.none() | st.floats(0, 1),
)
def test_the_likeliest_is_that_of_openai_whisper(texts: list[tuple[int, float]], penalty: float | None) -> None:
    candidates = [Beam((0,) * length, (), total) for length, total in texts]
    tokens = [[torch.zeros(length) for length, _ in texts]]
    (theirs,) = MaximumLikelihoodRanker(penalty).rank(tokens, [[total for _, total in texts]])
    assert likeliest(candidates, penalty) is candidates[theirs]


@pytest.mark.parametrize(
    ("changes", "attempt", "expected"),
    [
        ({}, Attempt(0), Strategy()),
        ({}, Attempt(0, 5), Strategy(5, beams=True)),
        ({"best_of": 5}, Attempt(0), Strategy()),
        ({"best_of": 5}, Attempt(0.2), Strategy(5)),
        ({}, Attempt(0, 1), Strategy()),
        ({"beam_size": 2, "patience": 0.5}, Attempt(0, 2), Strategy(2, beams=True)),
        ({"beam_size": 1, "patience": 2.0}, Attempt(0, 1), Strategy(1, beams=True)),
    ],
)
def test_strategies(changes: dict[str, Any], attempt: Attempt, expected: Strategy) -> None:
    assert Strategy.of(DecodingOptions(**changes), attempt) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [Attempt(0), Attempt(0, 2), Attempt(0.2), Attempt(1)]),
        ({"fallback_beam_size": None}, [Attempt(0), Attempt(0.2), Attempt(1)]),
        ({"beam_size": 3}, [Attempt(0, 3), Attempt(0.2), Attempt(1)]),
        ({"temperatures": (0.0,)}, [Attempt(0)]),
        ({"temperatures": (0.5,)}, [Attempt(0.5)]),
    ],
)
def test_what_fails_greedily_is_searched_before_it_is_sampled(changes: dict[str, Any], expected: list[Attempt]) -> None:
    assert list(DecodingOptions(**{"temperatures": (0.0, 0.2, 1.0), **changes}).attempts) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beam_size": 0}, "beam_size must be at least 1"),
        ({"best_of": -1}, "best_of must be at least 1"),
        ({"fallback_beam_size": 0}, "fallback_beam_size must be at least 1"),
        ({"beam_size": 2, "patience": 0.0}, "patience must be above 0"),
        ({"beam_size": 2, "patience": float("nan")}, "patience must be above 0"),
        ({"beam_size": 2, "length_penalty": 1.1}, "length_penalty must lie between 0 and 1"),
        ({"patience": 2.0}, "patience needs beam_size"),
        ({"length_penalty": 0.5}, "length_penalty needs beam_size or best_of"),
        ({"beam_size": 2, "temperatures": (0.4,)}, "beam_size needs the temperature 0"),
        ({"best_of": 2, "temperatures": (0.0,)}, "best_of needs a temperature above 0"),
        ({"suppress_tokens": (-2,)}, "suppress_tokens must hold ids of tokens, or -1, not -2"),
    ],
)
def test_options_that_make_no_sense_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecodingOptions(**changes)


@pytest.mark.slow
@pytest.mark.weights
def test_real_speech_is_found_as_openai_whisper_finds_it(
    base_engine: Engine, base_reference: Whisper, decode_reference: Reference, clips: dict[str, Sample]
) -> None:
    names = ("en-jfk.mp3", "de-common-voice-17922420.mp3")
    windows = [load_audio(clips[name].path)[:WINDOW_SAMPLES] for name in names]
    real = DecodingOptions(temperatures=(0.0,), beam_size=5)
    options = [replace(real, length_penalty=0.6), replace(real, patience=2.0)]
    for ours, window, one in zip(base_engine.decode(windows, options), windows, options, strict=True):
        theirs = decode_reference(base_reference, window, one)
        assert (ours.tokens, ours.language) == (tuple(theirs.tokens), theirs.language)
        assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-3)


@pytest.mark.weights
def test_hotwords_tell_how_words_are_spelt(base_engine: Engine, clips: dict[str, Sample]) -> None:
    window = load_audio(clips["en-jfk.mp3"].path)
    plain = DecodingOptions(language="en", temperatures=(0.0,))
    asked = replace(plain, hotwords="fellow-Americans")
    options = [plain, asked, replace(asked, beam_size=5)]
    unaware, *aware = base_engine.transcribe([window] * 3, options)
    spelt = ["".join(segment.text for segment in result.segments) for result in aware]
    assert "fellow-Americans" not in "".join(segment.text for segment in unaware.segments)
    assert all("fellow-Americans" in text for text in spelt)


@pytest.mark.weights
def test_beams_and_samples_have_words_and_log_probabilities(base_engine: Engine, clips: dict[str, Sample]) -> None:
    window = load_audio(clips["en-jfk.mp3"].path)
    asked = DecodingOptions(language="en", temperatures=(0.0,), beam_size=5, word_timestamps=True)
    options = [asked, replace(asked, temperatures=(0.2,), beam_size=None, best_of=3)]
    for result in base_engine.transcribe([window] * 2, options):
        (decoding,) = result.decodings
        assert (len(decoding.token_logprobs), decoding.finished) == (len(decoding.tokens), True)
        assert -1 < decoding.avg_logprob < 0
        assert decoding.no_speech_prob < 0.5
        words = [word for segment in result.segments for word in segment.words]
        assert [word.text.strip(" ,") for word in words[:4]] == ["And", "so", "my", "fellow"]
        assert words[0].start < words[-1].start < words[-1].end <= 11.1

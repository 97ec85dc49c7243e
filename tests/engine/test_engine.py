from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from whisper.model import Whisper

from tests.engine.conftest import Reference
from tests.tiny import TINY
from whisper_serve.engine import DecodingOptions, Engine
from whisper_serve.engine.attention_cache import KeyValueCache
from whisper_serve.engine.engine import Audio
from whisper_serve.engine.model import TextDecoder
from whisper_serve.engine.results import DecodingResult
from whisper_serve.engine.rules import TokenRules
from whisper_serve.engine.weights import Dimensions, Weights, load_weights

LONG = replace(TINY, n_text_ctx=448)
GREEDY = DecodingOptions(language="en", temperatures=(0.0,), max_tokens=24)
# Every row asks for something else: prompts of other lengths, languages, tasks, with and without times.
MIXED = (
    GREEDY,
    replace(GREEDY, language="fr", prompt="une histoire"),
    replace(GREEDY, timestamps=False),
    replace(GREEDY, task="translate", language="de"),
    replace(GREEDY, language=None, prompt="names such as Nemo and Aronnax " * 30),
    replace(GREEDY, max_tokens=5),
    replace(GREEDY, language=None, timestamps=False),
    replace(GREEDY, prompt="x", max_tokens=32),
)


@pytest.mark.parametrize("options", MIXED, ids=range(len(MIXED)))
def test_a_window_decodes_to_the_tokens_of_openai_whisper(
    tiny_engine: Engine,
    tiny_reference: Whisper,
    decode_reference: Reference,
    noises: Sequence[Audio],
    options: DecodingOptions,
) -> None:
    for window in noises[:2]:
        ours = tiny_engine.decode([window], options)[0]
        theirs = decode_reference(tiny_reference, window, options)
        assert ours.tokens == tuple(theirs.tokens)
        assert ours.language == theirs.language
        assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-4)
        assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-6)
        assert ours.compression_ratio == pytest.approx(theirs.compression_ratio)
        assert ours.text == theirs.text


def test_a_batch_of_different_rows_equals_each_row_alone(tiny_engine: Engine, noises: Sequence[Audio]) -> None:
    together = tiny_engine.decode(noises, MIXED)
    alone = [tiny_engine.decode([window], options)[0] for window, options in zip(noises, MIXED, strict=True)]
    assert [result.tokens for result in together] == [result.tokens for result in alone]
    assert len({len(result.tokens) for result in together}) > 2, "rows must leave the batch at different times"


def test_more_windows_than_a_batch_holds_keep_their_order(tiny_engine: Engine, noises: Sequence[Audio]) -> None:
    small = Engine(tiny_engine.model, "tiny", batch_size=3)
    expected = [result.tokens for result in tiny_engine.decode(noises, MIXED)]
    assert [result.tokens for result in small.decode(noises, MIXED)] == expected


def test_a_draft_saves_steps_and_changes_nothing(
    tiny_engine: Engine, noises: Sequence[Audio], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tiny_engine.decode(noises, MIXED)
    step, steps = TextDecoder.step, [0]

    def counted(self: TextDecoder, *args: Any, **options: Any) -> torch.Tensor:
        steps[0] += 1
        return step(self, *args, **options)

    monkeypatch.setattr(TextDecoder, "step", counted)

    def decoded(*drafts: tuple[int, ...]) -> tuple[list[DecodingResult], int]:
        """The first windows with a draft each, and the steps that it took."""
        options = [replace(one, draft_tokens=draft) for one, draft in zip(MIXED, drafts, strict=False)]
        steps[0] = 0
        return tiny_engine.decode(noises[: len(options)], options), steps[0]

    def same(found: Sequence[DecodingResult], expected: Sequence[DecodingResult]) -> bool:
        # Many tokens at once are not summed up in the order of one.
        sums = [one.avg_logprob for one in expected]
        return [one.tokens for one in found] == [one.tokens for one in expected] and [
            one.avg_logprob for one in found
        ] == pytest.approx(sums, abs=1e-4)

    tokens = [one.tokens for one in plain]
    _, all_steps = decoded(*[()] * len(plain))
    found, taken = decoded(*tokens)
    assert same(found, plain)
    assert taken <= 1, "all was in the drafts"
    found, taken = decoded(*[each[:3] for each in tokens])
    assert same(found, plain)
    assert taken == all_steps - 3
    wrong = [(*each[:4], each[0], *each[5:]) for each in tokens]
    found, taken = decoded(*wrong)
    assert same(found, plain)
    assert taken <= all_steps - 4
    # A row without a draft has all read step by step, also where others are done first.
    found, taken = decoded(tokens[0], (), tokens[2], *tokens[3:])
    assert same(found, plain)
    assert taken == len(tokens[1]) + plain[1].finished - 1
    # What the model does not have, more than it may say, and one window alone.
    found, _ = decoded((*tokens[0], 99_999, -1))
    assert same(found, plain[:1])
    found, _ = decoded(tokens[0] * 30)
    assert same(found, plain[:1])


def test_sampling_depends_on_the_row_alone(tiny_engine: Engine, noises: Sequence[Audio]) -> None:
    sampling = replace(GREEDY, temperatures=(0.8,))
    alone = tiny_engine.decode([noises[1]], sampling)[0]
    among = tiny_engine.decode(noises[:3], [GREEDY, sampling, replace(sampling, timestamps=False)])[1]
    assert alone.tokens == among.tokens
    assert alone.tokens != tiny_engine.decode([noises[1]], GREEDY)[0].tokens
    assert alone.temperature == 0.8


def test_a_failing_window_is_searched_and_then_decoded_at_the_next_temperatures(
    tiny_engine: Engine, noises: Sequence[Audio]
) -> None:
    patient = replace(GREEDY, temperatures=(0.0, 0.4, 1.0), logprob_threshold=None, compression_ratio_threshold=None)
    # No text is certain, so with a threshold of 0 all fail, and the likeliest is kept; of those that all repeat
    # themselves, which are not searched, the last is.
    unsure = replace(patient, logprob_threshold=0.0, no_speech_threshold=None)
    sampled = replace(unsure, fallback_beam_size=None)
    repetitive = replace(patient, compression_ratio_threshold=0.0)
    single, *tried = tiny_engine.transcribe([noises[1]] * 4, [patient, unsure, sampled, repetitive])
    assert [one.fallbacks for one in (single, *tried)] == [0, 3, 2, 2]
    assert [one.decodings[0].temperature for one in (single, *tried)] == [0.0, 0.0, 0.0, 1.0]
    [searched] = tiny_engine.transcribe([noises[1]], replace(unsure, temperatures=(0.0,), beam_size=2))
    greedy, found = single.decodings[0], searched.decodings[0]
    assert greedy.tokens != found.tokens
    assert tried[0].decodings[0].tokens == max(greedy, found, key=lambda one: one.avg_logprob).tokens
    assert tried[1].decodings[0].tokens == greedy.tokens
    [doubted] = tiny_engine.transcribe([noises[1]], replace(patient, search_threshold=0.0, no_speech_threshold=None))
    assert (doubted.fallbacks, doubted.searches) == (0, 1)
    assert doubted.decodings[0].tokens == tried[0].decodings[0].tokens


def test_log_probabilities_are_those_of_the_tokens(tiny_engine: Engine, noises: Sequence[Audio]) -> None:
    result = tiny_engine.decode([noises[0]], GREEDY)[0]
    assert len(result.token_logprobs) == len(result.tokens)
    assert all(logprob <= 0 for logprob in result.token_logprobs)
    if not result.finished:
        assert sum(result.token_logprobs) / (len(result.tokens) + 1) == pytest.approx(result.avg_logprob)


@pytest.mark.parametrize("sure", [True, False])
def test_what_follows_an_unwanted_stop_counts_if_the_model_is_sure_of_it(
    tiny_engine: Engine, noises: Sequence[Audio], monkeypatch: pytest.MonkeyPatch, sure: bool
) -> None:
    """The random model never stops by itself: here it does so after eight tokens, and would have after three."""
    forbid = TokenRules.forbid
    steps = itertools.count()

    def stop(rules: TokenRules, logits: torch.Tensor) -> None:
        forbid(rules, logits)
        step = next(steps)
        rules.urged = torch.tensor([step == 3])
        if step == 8:
            logits[0, tiny_engine.tokenizer.eot] = 1e6

    monkeypatch.setattr(TokenRules, "forbid", stop)
    options = replace(
        GREEDY,
        logprob_threshold=None if sure else 0.0,
        no_speech_threshold=None,
        compression_ratio_threshold=None,
    )
    decoding = tiny_engine.transcribe([noises[1]], options)[0].decodings[0]
    assert decoding.finished
    assert len(decoding.tokens) == (8 if sure else 3)
    assert decoding.avg_logprob == pytest.approx(sum(decoding.token_logprobs) / (len(decoding.tokens) + 1))


def test_windows_of_a_group_share_a_language(tiny_engine: Engine, noises: Sequence[Audio]) -> None:
    options = replace(GREEDY, language=None)
    results = tiny_engine.transcribe(noises[:4], options, groups=["a", "b", "a", "a"])
    assert len({(results[i].language, results[i].language_probability) for i in (0, 2, 3)}) == 1
    probabilities = [tiny_engine.detect_language([noises[i]])[0].probabilities for i in (0, 2, 3)]
    mean = {code: sum(each[code] for each in probabilities) / 3 for code in probabilities[0]}
    assert results[0].language == max(mean, key=mean.__getitem__)
    assert results[0].language_probability == pytest.approx(max(mean.values()), rel=1e-4)


def test_language_probabilities_equal_those_of_openai_whisper(
    tiny_engine: Engine, tiny_reference: Whisper, noises: Sequence[Audio]
) -> None:
    ours = tiny_engine.detect_language(noises[:2])
    features = tiny_engine.encode(noises[:2])
    _, theirs = tiny_reference.detect_language(features)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.probabilities == pytest.approx(other, abs=1e-6)
        assert mine.language == max(other, key=other.__getitem__)


def test_one_engine_serves_several_threads(tiny_engine: Engine, noises: Sequence[Audio]) -> None:
    expected = [result.tokens for result in tiny_engine.decode(noises, MIXED)]
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: tiny_engine.decode(noises, MIXED), range(4)))
    assert [[result.tokens for result in run] for run in runs] == [expected] * 4


def test_64_windows_of_all_lengths_equal_each_alone(tiny_engine: Engine) -> None:
    generator = np.random.default_rng(1)
    lengths = np.linspace(1_600, 480_000, 64, dtype=int)
    generator.shuffle(lengths)
    windows = [(0.1 * generator.standard_normal(length)).astype(np.float32) for length in lengths]
    options = [MIXED[row % len(MIXED)] for row in range(64)]
    together = Engine(tiny_engine.model, "tiny", batch_size=64).decode(windows, options)
    alone = [tiny_engine.decode([window], one)[0] for window, one in zip(windows, options, strict=True)]
    assert [result.tokens for result in together] == [result.tokens for result in alone]


def test_a_text_without_end_fills_the_context_and_costs_its_batch_mates_nothing(
    noises: Sequence[Audio], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine.load(Weights("long", LONG, load_random(LONG)), "cpu", "float32")
    expected = engine.decode([noises[1]], GREEDY)[0]
    forbid = TokenRules.forbid

    def endless(rules: TokenRules, logits: torch.Tensor) -> None:
        forbid(rules, logits)
        logits[0, engine.tokenizer.eot] = float("-inf")  # The first row never moves: rows from the end fill gaps.

    monkeypatch.setattr(TokenRules, "forbid", endless)
    runaway, mate = engine.decode([noises[0], noises[1]], [replace(GREEDY, max_tokens=448), GREEDY])
    assert (len(runaway.tokens), runaway.finished) == (448 - 3 + 1, False)
    assert mate.tokens == expected.tokens


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: no")]
)
def test_batches_that_do_not_fit_into_memory_are_halved(
    tiny_engine: Engine, noises: Sequence[Audio], monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    def tokens(engine: Engine) -> list[list[tuple[int, ...]]]:
        return [[decoding.tokens for decoding in result.decodings] for result in engine.transcribe(noises, MIXED)]

    expected = tokens(tiny_engine)
    engine = Engine(tiny_engine.model, "tiny", batch_size=8)
    sizes = []
    new_cache = TextDecoder.new_cache

    def small(decoder: TextDecoder, features: torch.Tensor) -> KeyValueCache:
        sizes.append(len(features))
        if len(features) > 3:
            raise error
        return new_cache(decoder, features)

    monkeypatch.setattr(TextDecoder, "new_cache", small)
    assert tokens(engine) == expected
    assert [size for size in sizes if size > 3] == [8, 4], "what did not fit is not tried again"
    assert engine.batch_size == 2
    monkeypatch.setattr(engine, "batch_size", 8)
    assert len(engine.detect_language(noises)) == len(noises)


def test_one_window_that_does_not_fit_into_memory_is_an_error(
    tiny_engine: Engine, noises: Sequence[Audio], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(decoder: TextDecoder, features: torch.Tensor) -> KeyValueCache:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TextDecoder, "new_cache", full)
    with pytest.raises(torch.OutOfMemoryError):
        Engine(tiny_engine.model, "tiny").transcribe(noises[:4], GREEDY)


def test_nothing_in_gives_nothing_out(tiny_engine: Engine) -> None:
    assert tiny_engine.transcribe([], GREEDY) == []
    assert tiny_engine.detect_language([]) == []


@pytest.mark.parametrize(
    ("window", "options", "message"),
    [
        (np.zeros(480_001, np.float32), GREEDY, "at most 480000"),
        (np.zeros((2, 100), np.float32), GREEDY, "at most 480000 mono"),
        (np.zeros(100, np.float32), replace(GREEDY, language="xx"), "'xx' is not known"),
        (np.zeros(100, np.float32), [GREEDY, GREEDY], "1 windows need as many options, not 2"),
    ],
)
def test_what_cannot_be_decoded_is_named(
    tiny_engine: Engine, window: Audio, options: DecodingOptions | list[DecodingOptions], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_engine.transcribe([window], options)


def test_an_english_only_model_refuses_other_work(noises: Sequence[Audio]) -> None:
    engine = Engine.load(replace(load_weights("random:tiny.en"), name="english"), "cpu")
    assert engine.detect_language([noises[4]])[0].language == "en"
    assert engine.transcribe([noises[4]], replace(GREEDY, language=None, max_tokens=3))[0].language == "en"
    with pytest.raises(ValueError, match="English only"):
        engine.transcribe([noises[4]], replace(GREEDY, language="fr"))
    with pytest.raises(ValueError, match="cannot translate"):
        engine.transcribe([noises[4]], replace(GREEDY, task="translate"))


def test_a_model_with_128_mels_and_100_languages_decodes(noises: Sequence[Audio], tiny_engine: Engine) -> None:
    dims = Dimensions(**{**TINY.as_dict(), "n_mels": 128, "n_vocab": 51866})
    tensors = dict(load_random(dims))
    engine = Engine.load(replace(load_weights("random:tiny"), dimensions=dims, tensors=tensors), "cpu")
    assert "yue" in engine.tokenizer.languages
    assert "yue" not in tiny_engine.tokenizer.languages
    assert engine.decode([noises[1]], replace(GREEDY, language="yue", max_tokens=4))[0].tokens


def load_random(dims: Dimensions) -> dict[str, torch.Tensor]:
    from whisper.model import ModelDimensions

    torch.manual_seed(0)
    tensors = dict(Whisper(ModelDimensions(**dims.as_dict())).state_dict())
    tensors["decoder.positional_embedding"].zero_()  # openai-whisper leaves it as memory was
    return tensors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "sing"}, "task must be"),
        ({"temperatures": ()}, "at least one"),
        ({"temperatures": (0.0, 1.5)}, "between 0 and 1, not 1.5"),
        ({"max_tokens": 0}, "at least 1"),
    ],
)
def test_options_are_checked(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecodingOptions(**changes)  # type: ignore[arg-type]

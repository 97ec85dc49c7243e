"""The real base model on real speech: the engine against openai-whisper, token by token."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from whisper.model import Whisper

from tests.engine.conftest import Reference
from whisper_serve.engine import DecodingOptions, Engine
from whisper_serve.engine.engine import Audio
from whisper_serve.evaluation.corpus import Sample, read_corpus
from whisper_serve.evaluation.scores import error_rate
from whisper_serve.speech import SAMPLE_RATE, WINDOW_SAMPLES, load_audio

pytestmark = pytest.mark.weights

GREEDY = DecodingOptions(temperatures=(0.0,))
JFK = "And so my fellow Americans ask not what your country can do for you, ask what you can do for your country."


@pytest.fixture(scope="module")
def spoken(clips: dict[str, Sample]) -> list[Audio]:
    """Real speech: our short clips, and the beginning of a long one."""
    return [load_audio(clip.path)[:WINDOW_SAMPLES] for name, clip in sorted(clips.items()) if "simplici" not in name]


def test_real_speech_decodes_to_the_tokens_of_openai_whisper(
    base_engine: Engine, base_reference: Whisper, decode_reference: Reference, spoken: list[Audio]
) -> None:
    """Found languages, texts with times and one with a prompt; a batch of 8 gives what each window gives alone."""
    options = [GREEDY] * (len(spoken) - 1) + [replace(GREEDY, language="en", prompt="Shakespeare, sonnets")]
    alone = [base_engine.decode([window], one)[0] for window, one in zip(spoken, options, strict=True)]
    theirs = [decode_reference(base_reference, window, one) for window, one in zip(spoken, options, strict=True)]
    for ours, other in zip(alone, theirs, strict=True):
        assert (ours.tokens, ours.language) == (tuple(other.tokens), other.language)
        assert ours.avg_logprob == pytest.approx(other.avg_logprob, abs=1e-3)
        assert ours.no_speech_prob == pytest.approx(other.no_speech_prob, abs=1e-4)
    eight = Engine(base_engine.model, "base", batch_size=8)
    assert [result.tokens for result in eight.decode(spoken, options)] == [result.tokens for result in alone]


def test_a_sentence_comes_with_times(base_engine: Engine, clips: dict[str, Sample]) -> None:
    window = load_audio(clips["en-jfk.mp3"].path)
    result = base_engine.transcribe([window], DecodingOptions())[0]
    assert result.language == "en"
    assert result.language_probability is not None
    assert result.language_probability > 0.9
    assert error_rate(JFK, "".join(segment.text for segment in result.segments), "en").errors == 0
    assert 0 <= result.segments[0].start < result.segments[-1].end <= len(window) / SAMPLE_RATE
    assert result.fallbacks == 0


def test_no_time_is_later_than_a_short_window(base_engine: Engine, clips: dict[str, Sample]) -> None:
    """The model hears 30 s, of which all but the first 1.5 s are silent, and often tells times of that silence."""
    windows = [load_audio(clip.path)[: SAMPLE_RATE * 3 // 2] for clip in clips.values()]
    options = [replace(GREEDY, language=clip.language) for clip in clips.values()]
    for words in (False, True):
        results = base_engine.transcribe(windows, [replace(one, word_timestamps=words) for one in options])
        segments = [segment for result in results for segment in result.segments]
        assert len(segments) >= len(windows)
        for segment in segments:
            assert 0 <= segment.start < segment.end <= 1.5
            assert bool(segment.words) is words
            assert all(segment.start <= word.start <= word.end <= segment.end for word in segment.words)


def test_a_window_is_heard_to_its_end(base_engine: Engine, clips: dict[str, Sample]) -> None:
    """Where the model would stop with another segment begun it goes on, in the same decoding."""
    window = load_audio(clips["en-librivox-sonnet-1.mp3"].path)[4 * SAMPLE_RATE :][:WINDOW_SAMPLES]
    options = replace(GREEDY, language="en")
    left = base_engine.decode([window], options)[0]
    whole = base_engine.transcribe([window], options)[0]
    assert len(whole.decodings) == 1
    assert whole.decodings[0].tokens[: len(left.tokens)] == left.tokens
    further = base_engine.tokenizer.decode(whole.decodings[0].tokens[len(left.tokens) :])
    assert "the world's fresh ornament" in further


def test_who_speaks_after_the_first_is_heard_too(base_engine: Engine, clips: dict[str, Sample]) -> None:
    """Where the model would take the rest of a window for silence it goes on, and says what is there."""
    names = ("en-librispeech-1089-134686-0001.flac", "en-librispeech-61-70968-0000.flac")
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    first, second = (clips[name] for name in names)
    window = np.concatenate([load_audio(first.path), pause, load_audio(second.path)])
    options = replace(GREEDY, language="en")
    assert "curtain" not in base_engine.decode([window], options)[0].text
    result = base_engine.transcribe([window], options)[0]
    assert len(result.decodings) == 1
    text = "".join(segment.text for segment in result.segments)
    assert error_rate(f"{first.transcript} {second.transcript}", text, "en").errors <= 2
    [unsure] = base_engine.transcribe([window], replace(options, spoken_to_end=False))
    assert len(unsure.decodings) == 2, "it stopped where it wanted to, and the rest was decoded on its own"


@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_nothing_is_made_up_where_a_window_ends_in_silence(
    base_engine: Engine, clips: dict[str, Sample], noise: float
) -> None:
    """What the model says when it has to go on, and is not sure of or has no words for, is dropped."""
    speech = load_audio(clips["en-librispeech-1089-134686-0001.flac"].path)
    tail = noise * np.random.default_rng(0).standard_normal(20 * SAMPLE_RATE)
    window = np.concatenate([speech, tail.astype(np.float32)])
    alone, before_silence = base_engine.transcribe([speech, window], replace(GREEDY, language="en"))
    texts = ["".join(segment.text for segment in result.segments).split() for result in (alone, before_silence)]
    assert texts[1][:4] == texts[0][:4]
    assert len(texts[1]) == len(texts[0])


def test_speech_beyond_the_token_limit_is_not_lost(base_engine: Engine, clips: dict[str, Sample]) -> None:
    """The rest of a window that was cut short is decoded on its own, from the last whole segment on."""
    window = load_audio(clips["en-librivox-sonnet-1.mp3"].path)[: 28 * SAMPLE_RATE]
    whole = base_engine.transcribe([window], replace(GREEDY, language="en"))[0]
    short = base_engine.transcribe([window], replace(GREEDY, language="en", max_tokens=40))[0]
    assert len(short.decodings) > len(whole.decodings)
    starts = [segment.start for segment in short.segments]
    assert starts == sorted(starts)
    texts = ["".join(segment.text for segment in result.segments) for result in (whole, short)]
    assert error_rate(texts[0], texts[1], "en").percent < 15


@pytest.mark.slow
def test_the_whole_corpus_decodes_to_the_tokens_of_openai_whisper(
    base_engine: Engine, base_reference: Whisper, decode_reference: Reference, corpus: Path
) -> None:
    """Every fourth file of at most one window, in twelve languages."""
    windows = [load_audio(sample.path) for sample in read_corpus(corpus)[::4]]
    windows = [window for window in windows if len(window) <= WINDOW_SAMPLES]
    assert len(windows) >= 20
    theirs = [decode_reference(base_reference, window, GREEDY) for window in windows]
    eight = Engine(base_engine.model, "base", batch_size=8)
    for batched, other in zip(eight.decode(windows, GREEDY), theirs, strict=True):
        assert batched.tokens == tuple(other.tokens)
    alone = [base_engine.decode([window], GREEDY)[0].tokens for window in windows]
    assert alone == [tuple(other.tokens) for other in theirs]

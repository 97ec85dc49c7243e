"""When words are said: openai-whisper's times, and what holds whatever the times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from hypothesis import given
from hypothesis import strategies as st
from whisper.model import Whisper
from whisper.timing import add_word_timestamps, find_alignment

from tests.engine.conftest import openai_mel
from tests.tiny import TINY
from whisper_serve.engine import DecodedSegment, DecodingOptions, Engine, int8
from whisper_serve.engine.alignment import Said, default_heads, running_median, token_times
from whisper_serve.engine.batch_audio import BatchAudio
from whisper_serve.engine.engine import Audio
from whisper_serve.engine.results import DecodingResult
from whisper_serve.engine.tokenizer import WhisperTokenizer
from whisper_serve.engine.weights import Weights
from whisper_serve.engine.words import with_words
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.speech import load_audio

TOKENIZER = WhisperTokenizer(TINY)
GREEDY = DecodingOptions(language="en", temperatures=(0.0,), word_timestamps=True)
DECODING = DecodingResult((), (), "", "en", None, 0.0, -0.1, 1.0, 0.0, True)
SENTENCES = (" Wait: is this it? Yes, it is.", ' Twelve "odd" fish.', " No", " (He said nothing — nothing at all!)")


def test_tokens_of_a_batch_begin_where_openai_whisper_says(
    tiny_engine: Engine, tiny_reference: Whisper, noises: Sequence[Audio]
) -> None:
    windows = list(noises[: len(SENTENCES)])
    texts = [TOKENIZER.encode(sentence) for sentence in SENTENCES]
    prompt = TOKENIZER.start_sequence("en", "transcribe", timestamps=False)
    said = {row: Said(prompt, text, len(windows[row]) / 16_000) for row, text in enumerate(texts)}
    audio = BatchAudio(tiny_engine.encode(windows))
    found = token_times(tiny_engine.model, default_heads(TINY), audio, said, TOKENIZER.eot)
    theirs = whisper.tokenizer.get_tokenizer(True, language="en", task="transcribe")
    for row, (window, text) in enumerate(zip(windows, texts, strict=True)):
        mel = openai_mel(window)
        words = find_alignment(tiny_reference, theirs, list(text), mel, len(window) // 160)
        starts = np.cumsum([0, *(len(word.tokens) for word in words)])[: len(words) + 1]
        starts = starts[starts <= len(text)]
        expected = [*(word.start for word in words), words[-1].end][: len(starts)]
        assert found[row][starts].tolist() == pytest.approx(expected, abs=1e-6)


def test_the_median_of_seven_is_the_median() -> None:
    x = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0))
    mirrored = torch.nn.functional.pad(x, (3, 3), mode="reflect")
    assert torch.equal(running_median(x), mirrored.unfold(-1, 7, 1).median(dim=-1).values)
    assert torch.equal(running_median(x[..., :3]), x[..., :3])


@pytest.mark.weights
def test_words_of_real_speech_are_where_openai_whisper_hears_them(
    base_engine: Engine, base_weights: Weights, base_reference: Whisper, clips: dict[str, Sample]
) -> None:
    heads = torch.zeros(base_weights.dimensions.n_text_layer, base_weights.dimensions.n_text_head, dtype=torch.bool)
    for layer, head in base_weights.alignment_heads or ():
        heads[layer, head] = True
    base_reference.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
    differences = []
    for name in (
        "en-jfk.mp3",
        "en-librispeech-1089-134686-0000.flac",
        "de-common-voice-17922420.mp3",
        "fr-common-voice-17732750.mp3",
    ):
        clip = clips[name]
        audio = load_audio(clip.path)[:480_000]
        options = replace(GREEDY, language=clip.language)
        [plain] = base_engine.transcribe([audio], replace(options, word_timestamps=False))
        [ours] = base_engine.transcribe([audio], options)
        assert len(ours.decodings) == 1
        theirs: list[dict[str, Any]] = [
            {"seek": 0, "start": one.start, "end": one.end, "tokens": list(one.tokens)} for one in plain.segments
        ]
        add_word_timestamps(
            segments=theirs,
            model=base_reference,
            tokenizer=whisper.tokenizer.get_tokenizer(True, language=clip.language, task="transcribe"),
            mel=openai_mel(audio),
            num_frames=len(audio) // 160,
            last_speech_timestamp=0.0,
        )
        expected = [word for segment in theirs for word in segment["words"]]
        words = [word for segment in ours.segments for word in segment.words]
        assert [word.text for word in words] == [word["word"] for word in expected]
        for word, other in zip(words, expected, strict=True):
            differences += [abs(word.start - other["start"]), abs(word.end - other["end"])]
    assert len(differences) > 100
    assert float(np.median(differences)) <= 0.01
    assert max(differences) <= 0.1


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_words_lie_within_their_segments(tiny_weights: Weights, noises: Sequence[Audio], dtype: str) -> None:
    if dtype == "int8" and not int8.available():
        pytest.skip("this CPU has no fast integer kernels")
    engine = Engine.load(tiny_weights, "cpu", dtype)
    results = engine.transcribe(
        noises, [GREEDY if row % 2 else replace(GREEDY, word_timestamps=False) for row in range(8)]
    )
    assert not any(segment.words for result in results[::2] for segment in result.segments)
    timed = [segment for result in results[1::2] for segment in result.segments]
    assert timed
    for segment in timed:
        assert "".join(word.text for word in segment.words).split() == segment.text.split()
        assert_in_order([segment])


def test_english_words_end_at_spaces_and_japanese_ones_do_not_wait_for_any() -> None:
    assert [text for text, _ in TOKENIZER.split_words(TOKENIZER.encode(" Nobody knows it"), "en")] == [
        " Nobody",
        " knows",
        " it",
    ]
    assert len(TOKENIZER.split_words(TOKENIZER.encode("誰も知らない"), "ja")) > 2


@given(data=st.data())
def test_whatever_the_times_words_are_in_order_and_none_is_lost(data: st.DataObject) -> None:
    segments, bounds = [], sorted(data.draw(st.lists(st.floats(0, 30), min_size=8, max_size=8)))
    for number, sentence in enumerate(data.draw(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=4))):
        tokens = (TOKENIZER.timestamp_begin, *TOKENIZER.encode(sentence), TOKENIZER.timestamp_begin + 1)
        start, end = bounds[2 * number : 2 * number + 2]
        segments.append(DecodedSegment(start, end, sentence, tokens, (-0.5,) * len(tokens), DECODING))
    number = sum(token < TOKENIZER.eot for segment in segments for token in segment.tokens)
    places = data.draw(st.lists(st.integers(0, 1500), min_size=number + 1, max_size=number + 1))
    times = np.sort(np.array(places)).astype(np.float32) / np.float32(50)
    timed = with_words(segments, TOKENIZER, "en", times, data.draw(st.floats(-10, 30)))
    assert ["".join(word.text for word in segment.words) for segment in timed] == [one.text for one in segments]
    assert_in_order(timed)
    # Alignment places nothing behind the audio's end, and what is made of its places does not either.
    assert timed[-1].end <= times[-1]


def assert_in_order(segments: Sequence[DecodedSegment]) -> None:
    """Segments follow each other, words lie in them and follow each other."""
    latest = 0.0
    for segment in segments:
        assert latest <= segment.start
        latest = segment.start
        for word in segment.words:
            assert latest <= word.start <= word.end <= segment.end
            assert 0 < word.probability <= 1
            latest = word.end

"""Jobs through the tiny random model: what it says is noise, but whose noise it is can be told."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ramp import TEXT, ramp, words_in
from whisper_serve.conversions import decoding_options
from whisper_serve.engine import DecodedSegment, DecodingOptions, DecodingResult, Engine, WindowResult
from whisper_serve.engine.engine import Audio
from whisper_serve.engine.results import DecodedWord, DroppedSegment
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.evaluation.scores import error_rate
from whisper_serve.speech import (
    SAMPLE_RATE,
    AudioDecodeError,
    AudioTooLong,
    Dropped,
    Transcript,
    WindowTranscript,
    Word,
    cut_windows,
    load_audio,
    open_audio,
)
from whisper_serve.speech.errors import VadUnavailable
from whisper_serve.transcriber import EngineBroken, FileJob, Job, Outcome, Transcriber, WindowJob
from whisper_serve.wire import SEARCH_THRESHOLD, InvalidOption, WindowOptions

JUST_LANGUAGE = WindowOptions(detect_only=True)
FIXED = WindowOptions(language="en", temperature=0.1)
"""One temperature: a random model fails every check, and would be tried at six."""


@pytest.fixture
def engine(tiny_engine: Engine) -> Engine:
    return Engine(tiny_engine.model, "tiny", batch_size=4)


def jobs(data: Path) -> list[Job]:
    noise = (0.1 * np.random.default_rng(2).standard_normal(70_000)).astype(np.float32)
    return [
        FileJob(data / "en-librivox-sonnet-1.mp3", FIXED),
        FileJob(b"not audio", FIXED),
        WindowJob(noise, FIXED),
        FileJob((data / "en-jfk.mp3").read_bytes(), replace(FIXED, language="fr")),
        FileJob(data / "de-common-voice-17922420.mp3", FIXED, vad=None),
    ]


def texts(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.text if isinstance(outcome, (Transcript, WindowTranscript)) else "" for outcome in outcomes]


@pytest.mark.parametrize("cutters", [0, 1, 3])
def test_jobs_together_say_what_each_says_alone(engine: Engine, data: Path, cutters: int) -> None:
    transcriber = Transcriber(engine, cutters=cutters)
    seconds: list[float] = []
    together = transcriber.run(jobs(data), seconds.append)
    assert [type(outcome) for outcome in together.outcomes] == [
        Transcript,
        AudioDecodeError,
        WindowTranscript,
        Transcript,
        Transcript,
    ]
    alone = [transcriber.run([job]).outcomes[0] for job in jobs(data)]
    assert texts(together.outcomes) == texts(alone)
    assert len(set(texts(alone))) == 5, "each job must say something of its own"
    counts = together.counts
    assert (counts.windows, counts.batches, counts.largest_batch) == (len(seconds), 2, 4)
    assert counts.audio_seconds == pytest.approx(sum(seconds))
    assert counts.tokens > 0
    assert counts.compute_seconds > 0


def test_segments_lie_where_their_window_does(engine: Engine, data: Path) -> None:
    path = data / "en-librivox-sonnet-1.mp3"
    with open_audio(path) as stream:
        windows = list(cut_windows(stream))
    outcome = Transcriber(engine).run([FileJob(path, FIXED)]).outcomes[0]
    assert isinstance(outcome, Transcript)
    assert outcome.duration == pytest.approx(53.27, abs=0.05)
    assert {segment.seek for segment in outcome.segments} <= {round(window.start * 100) for window in windows}
    assert [segment.id for segment in outcome.segments] == list(range(len(outcome.segments)))
    for segment in outcome.segments:
        assert segment.start >= segment.seek / 100


def test_a_file_keeps_the_language_of_its_first_batch(engine: Engine, data: Path) -> None:
    small = Engine(engine.model, "tiny", batch_size=1)
    outcome = Transcriber(small).run([FileJob(data / "en-librivox-sonnet-1.mp3", WindowOptions(temperature=0.1))])
    assert outcome.counts.batches > 1
    with open_audio(data / "en-librivox-sonnet-1.mp3") as stream:
        first = next(cut_windows(stream))
    assert isinstance(outcome.outcomes[0], Transcript)
    found = small.detect_language([first.audio])[0]
    assert outcome.outcomes[0].language == found.language
    assert outcome.outcomes[0].language_probability == pytest.approx(found.probabilities[found.language], abs=1e-5)


def test_silence_is_an_empty_text(engine: Engine) -> None:
    outcome = Transcriber(engine).run([FileJob(wav(np.zeros(32_000, np.int16)))])
    assert isinstance(outcome.outcomes[0], Transcript)
    assert (outcome.outcomes[0].text, outcome.outcomes[0].duration) == ("", 2.0)
    assert outcome.counts.batches == 0


def test_too_long_a_file_is_refused(engine: Engine, data: Path) -> None:
    run = Transcriber(engine, max_seconds=20).run([FileJob(data / "en-librivox-sonnet-1.mp3", FIXED)])
    assert isinstance(run.outcomes[0], AudioTooLong)


def test_what_the_model_cannot_do_is_the_jobs_own_error(engine: Engine, data: Path) -> None:
    bad = (WindowOptions(language="yue"), replace(FIXED, suppress_tokens=(-1, 50_256)))
    engine.tokenizer = copy(engine.tokenizer)
    engine.tokenizer.eot = 50_256  # as in English-only models
    run = Transcriber(engine).run(
        [*(FileJob(data / "en-jfk.mp3", one) for one in bad), WindowJob(np.zeros(16_000, np.float32), FIXED)]
    )
    for outcome, param in zip(run.outcomes, ("language", "suppress_tokens"), strict=False):
        assert isinstance(outcome, InvalidOption)
        assert outcome.param == param
    assert isinstance(run.outcomes[2], WindowTranscript)


@pytest.mark.parametrize("special", ["<|endoftext|>", "<|0.00|>", "<|startofprev|>"])
def test_a_special_token_in_a_prompt_is_plain_text(engine: Engine, special: str) -> None:
    noise = (0.1 * np.random.default_rng(3).standard_normal((3, 40_000))).astype(np.float32)
    asked = (FIXED, replace(FIXED, prompt=f"so {special}"), replace(FIXED, hotwords=special))
    run = Transcriber(engine).run([WindowJob(audio, each) for audio, each in zip(noise, asked, strict=True)])
    assert [type(outcome) for outcome in run.outcomes] == [WindowTranscript] * 3
    assert (run.counts.batches, run.counts.largest_batch) == (1, 3)
    tokens = engine.tokenizer.encode(special)
    assert len(tokens) > 1
    assert max(tokens) < engine.tokenizer.eot


class Fussy(Engine):
    """Fails on loud windows, as a model may on input that nobody foresaw."""

    error: Exception = RuntimeError("loud")

    def transcribe(
        self, windows: Sequence[Audio], options: DecodingOptions | Sequence[DecodingOptions], groups: Any = None
    ) -> list[WindowResult]:
        if any(np.abs(window).max() > 0.9 for window in windows):
            raise self.error
        return super().transcribe(windows, options, groups)


def test_a_poisonous_window_fails_alone(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    quiet, loud = np.full(16_000, 0.1, np.float32), np.full(16_000, 0.95, np.float32)
    batch: list[Job] = [WindowJob(quiet, FIXED), WindowJob(loud, FIXED), WindowJob(quiet, FIXED)]
    run = Transcriber(Fussy(engine.model, "fussy")).run(batch)
    assert [type(outcome) for outcome in run.outcomes] == [WindowTranscript, RuntimeError, WindowTranscript]
    assert "trying them one by one" in caplog.text


@pytest.mark.parametrize("words", ["CUDA error: device-side assert triggered", "could not create a primitive"])
def test_an_error_that_breaks_the_engine_is_not_hidden(engine: Engine, words: str) -> None:
    fussy = Fussy(engine.model, "fussy")
    fussy.error = RuntimeError(words)
    with pytest.raises(EngineBroken, match=words):
        Transcriber(fussy).run([WindowJob(np.full(16_000, 0.95, np.float32), FIXED)])


def test_only_what_is_no_fault_of_the_caller_is_logged(
    engine: Engine, data: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Transcriber(engine).run([FileJob(b"not audio"), FileJob(b"")])
    assert caplog.text == ""

    def missing() -> None:
        raise VadUnavailable("the speech detector is not installed")

    monkeypatch.setattr("whisper_serve.speech.vad._session", missing)
    run = Transcriber(engine).run([FileJob(data / "en-jfk.mp3", FIXED)])
    assert isinstance(run.outcomes[0], VadUnavailable)
    assert "the speech detector is not installed" in caplog.text


def noise(seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return (0.1 * np.random.default_rng(seed).standard_normal(40_000)).astype(np.float32)


def test_windows_that_ask_for_their_language_are_not_decoded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    transcribe = engine.transcribe

    def counting(windows: Sequence[Audio], *arguments: Any) -> list[WindowResult]:
        decoded.append(len(windows))
        return transcribe(windows, *arguments)

    monkeypatch.setattr(engine, "transcribe", counting)
    asked = [WindowJob(noise(1), JUST_LANGUAGE), WindowJob(noise(2), FIXED), WindowJob(noise(3), JUST_LANGUAGE)]
    run = Transcriber(engine).run(asked)
    assert decoded == [1]
    assert (run.counts.windows, run.counts.batches) == (3, 1)
    alone = engine.detect_language([noise(1), noise(3)])
    for outcome, expected in zip(run.outcomes[::2], alone, strict=True):
        assert isinstance(outcome, WindowTranscript)
        assert (outcome.language, outcome.text) == (expected.language, "")
        assert outcome.language_probabilities == pytest.approx(expected.probabilities, abs=1e-5)
        assert outcome.language_probabilities is not None
        assert outcome.language_probability == max(outcome.language_probabilities.values())
    assert isinstance(run.outcomes[1], WindowTranscript)
    assert run.outcomes[1].text
    assert run.outcomes[1].language_probabilities is None


def test_languages_alone_start_no_decoding(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.model.decoder, "step", None)
    [outcome] = Transcriber(engine).run([WindowJob(noise(1), JUST_LANGUAGE)]).outcomes
    assert isinstance(outcome, WindowTranscript)
    assert outcome.language_probabilities


def test_logprobs_are_those_of_the_text(engine: Engine) -> None:
    jobs = [WindowJob(noise(5), replace(FIXED, logprobs=True)), WindowJob(noise(5), FIXED)]
    asked, unasked = Transcriber(engine).run(jobs).outcomes
    assert isinstance(asked, WindowTranscript)
    assert isinstance(unasked, WindowTranscript)
    assert asked.text == unasked.text
    assert asked.text
    for segment, plain in zip(asked.segments, unasked.segments, strict=True):
        assert plain.token_logprobs == ()
        said = b"".join(bytes(token.bytes) for token in segment.token_logprobs)
        assert said.decode("utf-8", "replace") == segment.text
        texts = [token for token in segment.tokens if token < engine.tokenizer.eot]
        assert [bytes(each.bytes) for each in segment.token_logprobs] == [*map(engine.tokenizer.token_bytes, texts)]
        assert all(each.logprob <= 0 for each in segment.token_logprobs)


@pytest.mark.weights
def test_logprobs_of_real_speech_add_up_to_the_mean(base_engine: Engine, data: Path) -> None:
    with open_audio(data / "en-jfk.mp3") as stream:
        window = next(cut_windows(stream))
    options = WindowOptions(language="en", logprobs=True, timestamps=False)
    [outcome] = Transcriber(base_engine).run([WindowJob(window.audio, options)]).outcomes
    assert isinstance(outcome, WindowTranscript)
    [segment] = outcome.segments
    assert segment.token_logprobs[0].token == " And"
    # The mean also counts the end of the text, of which the model is all but certain after a full stop.
    total = segment.avg_logprob * (len(segment.tokens) + 1)
    assert sum(each.logprob for each in segment.token_logprobs) == pytest.approx(total, abs=0.5)
    assert {each.bytes for each in segment.token_logprobs} >= {tuple(b" country"), tuple(b" fellow")}


def test_what_was_dropped_is_told_and_counted(engine: Engine, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoding = DecodingResult((), (), "", "en", None, 0.0, -0.2, 1.0, 0.1, True)
    goodbye = DecodedSegment(0.0, 2.0, " Thanks for watching!", (), (), decoding)
    loop = DroppedSegment(2.0, 8.0, "repetition", "Thanks for watching!")
    heard = WindowResult("en", None, (goodbye,), (decoding,), 0, (loop,))
    monkeypatch.setattr(engine, "transcribe", lambda windows, *_: [heard] * len(windows))
    path = data / "en-jfk.mp3"
    run = Transcriber(engine).run([FileJob(path), FileJob(path, vad=None), WindowJob(noise(1))])
    found, whole, window = run.outcomes
    assert isinstance(found, Transcript)
    assert isinstance(whole, Transcript)
    assert isinstance(window, WindowTranscript)
    assert (found.text, whole.text, window.text.strip()) == ("Thanks for watching!", "", "Thanks for watching!")
    assert window.dropped == (Dropped(2.0, 8.0, "repetition", "Thanks for watching!"),)
    assert [each.reason for each in found.dropped] == ["repetition"]
    assert whole.dropped == (*window.dropped, Dropped(0.0, 2.0, "phantom", "Thanks for watching!"))
    assert run.counts.dropped == {"repetition": 3, "phantom": 1}


def saying(words: Sequence[Word], language: str = "en") -> WindowResult:
    """What an engine answers that heard these words, each of which is a token."""
    decoding = DecodingResult((), (), "", language, None, 0.0, -0.2, 1.0, 0.1, True)
    text = "".join(word.word for word in words)
    spoken = tuple(DecodedWord(word.word, word.start, word.end, 1.0) for word in words)
    segment = DecodedSegment(words[0].start, words[-1].end, text, (), (), decoding, spoken)
    return WindowResult(language, 0.9, (segment,), (decoding,), 0)


def test_windows_that_overlap_become_one_text(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[DecodingOptions] = []

    def transcribe(
        windows: Sequence[Audio], options: Sequence[DecodingOptions], groups: Sequence[Any]
    ) -> list[WindowResult]:
        asked.extend(options)
        return [saying(words_in(window)) for window in windows]

    monkeypatch.setattr(engine, "transcribe", transcribe)
    seconds: list[float] = []
    timed = replace(FIXED, word_timestamps=True)
    jobs = [FileJob(ramp(), FIXED, vad=None), FileJob(ramp(), timed, vad=None)]
    plain, words = Transcriber(engine).run(jobs, seconds.append).outcomes
    assert isinstance(plain, Transcript)
    assert isinstance(words, Transcript)
    assert plain.text.split() == words.text.split() == TEXT
    assert all(options.word_timestamps for options in asked)
    assert plain.words == ()
    assert [word.word.strip() for word in words.words] == TEXT
    assert all(before.end <= after.start for before, after in pairwise(plain.segments))
    assert sum(seconds) == pytest.approx(200)


@pytest.fixture
def asked(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[DecodingOptions]:
    """What the engine is asked of each window."""
    asked: list[DecodingOptions] = []
    transcribe = engine.transcribe

    def remembering(windows: Sequence[Audio], options: Sequence[DecodingOptions], groups: Any) -> list[WindowResult]:
        asked.extend(options)
        return transcribe(windows, options, groups)

    monkeypatch.setattr(engine, "transcribe", remembering)
    return asked


def test_windows_that_do_not_overlap_are_not_asked_for_words(
    engine: Engine, data: Path, asked: list[DecodingOptions]
) -> None:
    Transcriber(engine).run([FileJob(data / "en-librivox-sonnet-1.mp3", FIXED)])
    assert [options.word_timestamps for options in asked] == [False, False]


def test_where_speech_was_looked_for_a_window_is_spoken_to_its_end(
    engine: Engine, data: Path, asked: list[DecodingOptions]
) -> None:
    jobs = [FileJob(data / "en-jfk.mp3", FIXED), FileJob(data / "en-jfk.mp3", FIXED, vad=None)]
    Transcriber(engine).run(jobs)
    assert [options.spoken_to_end for options in asked] == [True, False]


def test_a_text_that_is_cut_keeps_the_tokens_of_its_words(engine: Engine) -> None:
    options = replace(FIXED, logprobs=True, word_timestamps=True)
    [outcome] = Transcriber(engine).run([FileJob(ramp(), options, vad=None)]).outcomes
    assert isinstance(outcome, Transcript)
    assert len({segment.seek for segment in outcome.segments}) >= 4
    for segment in outcome.segments:
        texts = [token for token in segment.tokens if token < engine.tokenizer.eot]
        assert [bytes(each.bytes) for each in segment.token_logprobs] == [*map(engine.tokenizer.token_bytes, texts)]


@pytest.mark.weights
def test_each_window_may_have_its_own_language(base_engine: Engine, clips: dict[str, Sample]) -> None:
    spoken = [clips[name] for name in ("en-jfk.mp3", "de-common-voice-17922420.mp3", "fr-common-voice-17732750.mp3")]
    pause = np.zeros(4 * SAMPLE_RATE, np.float32)
    audio = np.concatenate([part for clip in spoken for part in (load_audio(clip.path), pause)])
    file = wav((audio * 32767).astype(np.int16))
    one, each = Transcriber(base_engine).run([FileJob(file), FileJob(file, language_per_window=True)]).outcomes
    assert isinstance(one, Transcript)
    assert isinstance(each, Transcript)
    assert {segment.language for segment in one.segments} == {""}
    assert list(dict.fromkeys(segment.language for segment in each.segments)) == ["en", "de", "fr"]
    assert (each.language, each.language_probability) == ("en", None)
    assert one.language_probability
    for clip in spoken:
        text = "".join(segment.text for segment in each.segments if segment.language == clip.language)
        assert error_rate(clip.transcript, text, clip.language).percent < 30


@pytest.mark.parametrize(("temperature", "tried"), [(0.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)), (0.3, (0.3,))])
def test_temperature_zero_means_fallback(temperature: float, tried: tuple[float, ...]) -> None:
    assert decoding_options(WindowOptions(temperature=temperature)).temperatures == tried


def test_unsure_texts_are_searched_for_unless_greedy_ones_are_asked_for() -> None:
    usual, greedy = (decoding_options(WindowOptions(beam_size=size)) for size in (None, 1))
    assert usual.search_threshold == SEARCH_THRESHOLD < 0
    assert decoding_options(WindowOptions(task="translate")).search_threshold is None
    assert [attempt.beam_size for attempt in usual.attempts[:2]] == [None, 2]
    assert not any((attempt.beam_size or 1) > 1 for attempt in greedy.attempts)


@pytest.mark.weights
def test_no_more_is_searched_for_than_the_server_does(base_engine: Engine, data: Path) -> None:
    unsure = FileJob(data / "fr-common-voice-20046123.mp3", WindowOptions(language="fr"))
    assert Transcriber(base_engine).run([unsure]).counts.searches == 1
    assert Transcriber(base_engine, search_threshold=-1.0).run([unsure]).counts.searches == 0
    asks_less = replace(unsure, options=replace(unsure.options, search_threshold=-0.9))
    assert Transcriber(base_engine).run([asks_less]).counts.searches == 0


def test_what_is_asked_of_texts_goes_to_the_engine() -> None:
    asked = WindowOptions(
        hotwords="Nemo", beam_size=5, best_of=3, patience=2.0, length_penalty=0.6, suppress_tokens=(-1, 7),
        search_threshold=-0.4,
    )  # fmt: skip
    decoding = decoding_options(asked)
    for name in (
        "hotwords",
        "beam_size",
        "best_of",
        "patience",
        "length_penalty",
        "suppress_tokens",
        "search_threshold",
    ):
        assert getattr(decoding, name) == getattr(asked, name)
    assert decoding_options(WindowOptions()).suppress_tokens == (-1,)
    assert decoding_options(WindowOptions(temperature=0.5, best_of=3)).temperatures == (0.5,)


def wav(samples: np.ndarray[Any, np.dtype[np.int16]]) -> bytes:
    """Samples at 16 kHz as a WAV file."""
    import io
    import wave

    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 16_000, len(samples), "NONE", ""))
        file.writeframes(samples.tobytes())
    return buffer.getvalue()

"""Real audio through a real TorchServe: REST and gRPC, many at once, bad input, a killed worker."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

import numpy as np
import pytest

from tests.e2e.conftest import Serve, Served
from tests.e2e.recordings import JFK, long_silence, wav
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.evaluation.scores import error_rate
from whisper_serve.speech import WindowTranscript, load_audio
from whisper_serve.torchserve.client import Prediction
from whisper_serve.torchserve.errors import RequestFailed
from whisper_serve.wire import ErrorReply, WindowOptions, pack_window, unpack_reply

pytestmark = [pytest.mark.e2e, pytest.mark.weights]

COMMON_WORDS = {"the", "a", "and", "of", "to", "in", "that", "is", "was", "i", "you", "have", "then", "should", "with"}


def test_a_recording_comes_back_as_text_however_it_is_sent(served: Served, jfk: bytes) -> None:
    body = served.rest.predict(jfk)
    assert body.content_type == "application/json"
    assert json.loads(body.text) == {"text": JFK, "usage": {"type": "duration", "seconds": 11}}
    assert served.rest.predict_form(jfk, {"response_format": "text"}).text == JFK + "\n"
    assert json.loads(served.grpc.predict(jfk))["text"] == JFK
    assert json.loads(served.grpc.predict(jfk, key="data"))["text"] == JFK
    subtitles = served.rest.predict_form(jfk, {"response_format": "srt", "language": "english"}).text
    assert subtitles.startswith("1\n00:00:00,")
    assert subtitles.endswith("ask what you can do for your country.\n\n")


def test_a_window_comes_back_with_its_segments(served: Served, clips: dict[str, Sample]) -> None:
    message = pack_window(load_audio(clips["en-jfk.mp3"].path), WindowOptions())
    for answer in (served.grpc.predict(message, key="window"), served.rest.predict_form(message, key="window").body):
        reply = unpack_reply(answer)
        assert isinstance(reply, WindowTranscript)
        assert reply.language == "en"
        assert error_rate(JFK, reply.text, "en").errors == 0
        assert reply.language_probability is not None
        assert reply.language_probability > 0.9


@pytest.mark.parametrize(
    ("spoken", "language", "translated"),
    [
        ("de-common-voice-17922420.mp3", "german", "de-librivox-simplicissimus.ogg"),
        ("fr-common-voice-17732750.mp3", "french", "fr-common-voice-20046123.mp3"),
    ],
)
def test_other_languages_are_recognised_and_translated(
    served: Served, clips: dict[str, Sample], spoken: str, language: str, translated: str
) -> None:
    clip = clips[spoken]
    heard = json.loads(served.rest.predict_form(clip.path.read_bytes(), {"response_format": "verbose_json"}).text)
    assert heard["language"] == language
    assert 0.5 < heard["language_probability"] <= 1
    assert error_rate(clip.transcript, heard["text"], clip.language).percent < 25
    content = clips[translated].path.read_bytes()
    english = json.loads(served.rest.predict_form(content, {"task": "translate"}).text)["text"]
    words = english.lower().split()
    assert sum(word in COMMON_WORDS for word in words) > 0.2 * len(words), english


def test_32_requests_at_once_are_each_answered_right(served: Served, clips: dict[str, Sample]) -> None:
    samples = [clip for name, clip in sorted(clips.items()) if "librivox" not in name]  # Those are long.
    alone = {
        sample.name: served.rest.predict_form(sample.path.read_bytes(), {"response_format": "text"}).text
        for sample in samples
    }
    chosen = [samples[number % len(samples)] for number in range(32)]

    def ask(number: int) -> str:
        content = chosen[number].path.read_bytes()
        if number % 2:
            return served.rest.predict_form(content, {"response_format": "text"}).text
        return served.grpc.predict(content, {"response_format": "text"}).decode()

    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(ask, range(32)))
    for sample, text in zip(chosen, together, strict=True):
        # The sums of a batch are rounded otherwise than those of one window: a word may differ, a text may not.
        assert error_rate(alone[sample.name], text, sample.language).percent <= 10, sample.name
    assert served.metric("whisper_largest_batch") > 8
    assert served.metric("whisper_windows_total") >= 32


def test_bad_input_is_refused_in_words_and_its_batch_mates_are_served(served: Served, jfk: bytes) -> None:
    speech = load_audio(jfk)
    message = pack_window(speech, WindowOptions())
    rest, form, grpc = served.rest.predict, served.rest.predict_form, served.grpc.predict
    refused: dict[str, tuple[Callable[[], Prediction], int, str]] = {
        "empty": (lambda: form(b""), 400, "empty"),
        "text": (
            lambda: rest(b"This is not audio at all, whatever its name says.\n" * 20),
            400,
            "not audio or video but text",
        ),
        "header only": (lambda: rest(wav(speech)[:44]), 400, "not one sample"),
        "0.05 s": (lambda: rest(wav(speech[:800])), 400, "at least 0.1 seconds"),
        "too long": (lambda: rest(long_silence(3700)), 413, "3600 seconds"),
        "language": (lambda: form(jfk, {"language": "klingon"}), 400, "klingon"),
        "language of no model": (lambda: form(jfk, {"language": "yue"}), 400, "yue"),
        "temperature": (lambda: form(jfk, {"temperature": "hot"}), 400, "temperature"),
        "format": (lambda: form(jfk, {"response_format": "docx"}), 400, "response_format"),
        "half a message": (lambda: form(message[: len(message) // 2], key="window"), 400, "came"),
    }
    accepted: dict[str, tuple[Callable[[], Prediction], str]] = {
        "truncated": (lambda: form(wav(speech)[: len(speech)], {"response_format": "verbose_json"}), "cut short"),
        "silence": (lambda: rest(wav(np.zeros(48_000, np.float32))), '"text": ""'),
        "8 channels": (lambda: rest(wav(np.repeat(speech, 8), channels=8)), "your country"),
        "good": (lambda: rest(jfk), JFK),
    }
    with ThreadPoolExecutor(16) as pool:
        failures = {name: (pool.submit(call), status, words) for name, (call, status, words) in refused.items()}
        answers = {name: (pool.submit(ok), words) for name, (ok, words) in accepted.items()}
    for name, (failure, status, words) in failures.items():
        with pytest.raises(RequestFailed, match=words) as caught:
            failure.result()
        assert caught.value.status == status, name
        assert "invalid_request_error" in str(caught.value)
    for name, (answer, words) in answers.items():
        assert words in answer.result().text, name
    reply = unpack_reply(grpc(message[: len(message) // 2], key="window"))
    assert isinstance(reply, ErrorReply)
    assert reply.status == 400
    assert json.loads(grpc(b""))["error"]["param"] == "file"
    assert json.loads(rest(jfk).text)["text"] == JFK
    assert served.metric("whisper_errors_total") >= len(refused)


@pytest.mark.slow
def test_a_killed_worker_costs_only_its_batch(serve: Serve, jfk: bytes) -> None:
    batch = 4
    with serve(batch_size=batch) as server, ThreadPoolExecutor(16) as pool:
        assert server.temp_dir is not None
        before = {path for path in server.temp_dir.rglob("*") if path.is_file()}
        futures: list[Future[Prediction]] = [pool.submit(server.rest.predict, jfk) for _ in range(16)]
        next(as_completed(futures))  # One batch is done, the next is at work, others wait.
        [victim] = server.workers()
        os.kill(int(str(victim["pid"])), signal.SIGKILL)
        results = [future.exception() for future in futures]
        failed = [error for error in results if error is not None]
        assert 1 <= len(failed) <= batch
        assert all(isinstance(error, RequestFailed) and error.status in (500, 503, 507) for error in failed)
        expected = {future.result().text for future in futures if future.exception() is None}
        assert len(expected) == 1
        assert json.loads(server.rest.predict(jfk).text)["text"] == JFK
        [successor] = server.workers()
        assert successor["pid"] != victim["pid"]
        after = {path for path in server.temp_dir.rglob("*") if path.is_file()}
        assert after - before <= {path for path in after if path.suffix in {".log", ".pid"}}, after - before

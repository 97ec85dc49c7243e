"""The whole stack as `whisper-serve serve` starts it: TorchServe, the base model and the gateway, and OpenAI's SDK."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from tests.e2e.recordings import JFK, long_silence, wav
from tests.e2e.stack import Stack, is_ready, wait_until
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.evaluation.scores import error_rate

pytestmark = [pytest.mark.e2e, pytest.mark.weights]


def test_the_official_sdk_works_unchanged(stack: Stack, clips: dict[str, Sample], jfk: bytes) -> None:
    create: Any = stack.sdk.audio.transcriptions.create
    clip = ("jfk.mp3", jfk)
    assert create(model="whisper-1", file=clip).text == JFK
    assert create(model="whisper-1", file=clip, response_format="text") == JFK + "\n"
    assert create(model="whisper-1", file=clip, response_format="srt").startswith("1\n00:00:00,")
    assert create(model="whisper-1", file=clip, response_format="vtt").startswith("WEBVTT\n\n")
    verbose = create(
        model="whisper-1", file=clip, response_format="verbose_json", timestamp_granularities=["segment"], language="en"
    )
    assert (verbose.language, verbose.text) == ("english", JFK)
    assert verbose.segments[-1].end == pytest.approx(10.5, abs=1)
    assert verbose.words is None
    for granularities in (["word"], ["segment", "word"]):
        timed = create(
            model="whisper-1", file=clip, response_format="verbose_json", timestamp_granularities=granularities
        )
        assert " ".join(word.word for word in timed.words) == timed.text == JFK
        times = [time for word in timed.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert (timed.words[-1].word, times[-1]) == ("country.", pytest.approx(10.4, abs=0.5))
        assert (timed.segments is None) == (granularities == ["word"])
    with_logprobs = create(model="whisper-1", file=clip, include=["logprobs"])
    assert "".join(each.token for each in with_logprobs.logprobs).strip() == JFK
    strategy = {"type": "server_vad", "threshold": 0.6, "prefix_padding_ms": 200, "silence_duration_ms": 300}
    assert "your country" in create(model="whisper-1", file=clip, chunking_strategy=strategy).text
    french = ("rede.mp3", clips["fr-common-voice-20046123.mp3"].path.read_bytes())
    with pytest.warns(DeprecationWarning, match="deprecated"):  # The SDK would rather have it under another name.
        assert "family" in stack.sdk.audio.translations.create(model="whisper-1", file=french).text
    assert "whisper-1" in {model.id for model in stack.sdk.models.list()}
    assert stack.sdk.models.retrieve("whisper-1").object == "model"


def test_streaming_sends_each_window_as_it_is_done(stack: Stack, clips: dict[str, Sample]) -> None:
    sonnet = clips["en-librivox-sonnet-1.mp3"]
    events = list(
        stack.sdk.audio.transcriptions.create(
            model="whisper-1", file=("sonnet.mp3", sonnet.path.read_bytes()), language="en", stream=True
        )
    )
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert len(deltas) >= 2
    assert events[-1].type == "transcript.text.done"
    assert "".join(deltas).strip() == events[-1].text
    assert error_rate(sonnet.transcript, events[-1].text, "en").percent < 25


def test_errors_are_those_the_sdk_knows(stack: Stack, jfk: bytes) -> None:
    create: Any = stack.sdk.audio.transcriptions.create
    for fields, words in (
        ({"file": ("a.wav", b"")}, "empty"),
        ({"file": ("a.wav", b"just text, whatever its name says")}, "text"),
        ({"file": ("a.mp3", jfk), "language": "klingon"}, "klingon"),
        ({"file": ("a.mp3", jfk), "temperature": 7}, "temperature"),
        ({"file": ("a.mp3", jfk), "response_format": "diarized_json"}, "diarized_json"),
    ):
        with pytest.raises(openai.BadRequestError, match=words):
            create(model="whisper-1", **fields)
    with pytest.raises(openai.NotFoundError, match="gpt-9"):
        create(model="gpt-9", file=("a.mp3", jfk))
    with pytest.raises(openai.NotFoundError):
        stack.sdk.models.retrieve("gpt-9")
    answer = stack.http.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.json()["error"]["type"]
    assert answer.headers["x-request-id"]


def test_languages_are_identified(stack: Stack, clips: dict[str, Sample]) -> None:
    for name in ("de-common-voice-17922420.mp3", "fr-common-voice-17732750.mp3", "en-jfk.mp3"):
        files = {"file": ("clip", clips[name].path.read_bytes())}
        answer = stack.http.post("/v1/audio/language", files=files, data={"model": "whisper-1"}).json()
        assert answer["language_code"] == clips[name].language
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=0.01)


def test_silence_is_empty_text_and_hours_of_it_are_bounded(stack: Stack) -> None:
    assert stack.text(wav(np.zeros(48_000, np.float32))).text == "\n"
    started = time.monotonic()
    answer = stack.text(long_silence(5 * 3600))
    assert answer.status_code == 413
    assert time.monotonic() - started < 30


@pytest.mark.slow
def test_no_request_is_lost_when_workers_and_servers_are_killed(stack: Stack, clips: dict[str, Sample]) -> None:
    """Under 16 requests at once: the worker twice, then TorchServe as a whole twice."""
    names = ("en-jfk.mp3", "de-common-voice-17922420.mp3", "fr-common-voice-20046123.mp3")
    contents = [clips[name].path.read_bytes() for name in names]
    expected = [stack.text(content).text for content in contents]
    for victim in ("model_service_worker", "model_service_worker", "ModelServer", "ModelServer"):
        with ThreadPoolExecutor(16) as pool:
            answers = [pool.submit(stack.text, contents[number % 3]) for number in range(16)]
            next(as_completed(answers))  # Some are done, some at work, some wait.
            stack.descendant(victim).kill()
            for number, answer in enumerate(answers):
                assert answer.result().status_code == 200, answer.result().text
                assert answer.result().text == expected[number % 3]
        wait_until(lambda: is_ready(stack), 120)


def test_clients_that_leave_cost_nothing_more(stack: Stack, clips: dict[str, Sample]) -> None:
    content = clips["de-librivox-simplicissimus.ogg"].path.read_bytes()

    def leave() -> None:
        with pytest.raises(httpx.TimeoutException):
            httpx.post(
                f"{stack.url}/v1/audio/transcriptions",
                files={"file": ("clip", content)},
                data={"model": "whisper-1"},
                timeout=httpx.Timeout(30, read=1.0),
                trust_env=False,
            )

    threads = [threading.Thread(target=leave) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(2)
    sent = stack.metric("whisper_gateway_windows_sent_total")
    time.sleep(5)
    assert stack.metric("whisper_gateway_windows_sent_total") == sent

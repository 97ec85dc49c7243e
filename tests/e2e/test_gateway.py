"""The whole stack as `whisper-serve serve` starts it: TorchServe, the base model and the gateway, and OpenAI's SDK."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import psutil
import pytest

from tests.e2e.test_serving import JFK, long_silence, wav
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.evaluation.scores import error_rate
from whisper_serve.torchserve.endpoints import on_free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.weights]


class Stack:
    """A running `whisper-serve serve`."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process = process
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=300, trust_env=False)
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

    def close(self) -> None:
        self.sdk.close()
        self.http.close()

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels."""
        lines = self.http.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))

    def descendant(self, words: str) -> psutil.Process:
        """The process below the supervisor whose command line holds `words`."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            if any(words in part for part in process.cmdline()):
                return process
        raise LookupError(words)

    def text(self, content: bytes, **fields: str) -> httpx.Response:
        form = {"model": "whisper-1", "response_format": "text", **fields}
        return self.http.post("/v1/audio/transcriptions", files={"file": ("clip", content)}, data=form)


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@contextmanager
def run_stack(store: Path, **environment: str) -> Iterator[Stack]:
    ports = on_free_ports()
    gateway = on_free_ports().inference
    command = [sys.executable, "-m", "whisper_serve", "serve", "--model", "trial", "--model-store", str(store)]
    command += ["--device", "cpu", "--gateway-port", str(gateway), "--port", str(ports.inference)]
    command += ["--management-port", str(ports.management), "--metrics-port", str(ports.metrics)]
    command += ["--grpc-port", str(ports.grpc), "--grpc-management-port", str(ports.grpc_management)]
    with tempfile.TemporaryDirectory(prefix="ws") as folder:
        process = subprocess.Popen(command, env={**os.environ, **environment, "TMPDIR": folder})
        stack = Stack(process, f"http://127.0.0.1:{gateway}")
        try:
            wait_until(lambda: is_ready(stack), 120)
            yield stack
        finally:
            stack.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


def is_ready(stack: Stack) -> bool:
    assert stack.process.poll() is None
    try:
        return stack.http.get("/readyz").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with run_stack(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture(scope="module")
def jfk(clips: dict[str, Sample]) -> bytes:
    return clips["en-jfk.mp3"].path.read_bytes()


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


def test_no_request_is_lost_when_workers_and_servers_are_killed(stack: Stack, clips: dict[str, Sample]) -> None:
    """Under 16 requests at once: the worker twice, then TorchServe as a whole twice."""
    samples = [clips[name] for name in ("en-jfk.mp3", "de-common-voice-17922420.mp3", "fr-common-voice-20046123.mp3")]
    contents = [sample.path.read_bytes() for sample in samples]
    expected = [stack.text(content).text for content in contents]
    for victim in ("model_service_worker", "model_service_worker", "ModelServer", "ModelServer"):
        with ThreadPoolExecutor(16) as pool:
            answers = [pool.submit(stack.text, contents[number % 3]) for number in range(16)]
            next(as_completed(answers))  # Some are done, some at work, some wait.
            stack.descendant(victim).kill()
            for number, answer in enumerate(answers):
                assert answer.result().status_code == 200, answer.result().text
                said, wanted = answer.result().text, expected[number % 3]
                assert error_rate(wanted, said, samples[number % 3].language).percent <= 15
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


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_json_is_what_curl_gets(stack: Stack, clips: dict[str, Sample]) -> None:
    command = ["curl", "-sS", f"{stack.url}/v1/audio/transcriptions", "-F", f"file=@{clips['en-jfk.mp3'].path}"]
    answer = subprocess.run([*command, "-F", "model=whisper-1"], capture_output=True, check=True)
    assert json.loads(answer.stdout) == {"text": JFK, "usage": {"type": "duration", "seconds": 11}}

"""Long files through the real stack: as right as openai-whisper, text early, small memory, and room for others."""

from __future__ import annotations

import asyncio
import re
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.recordings import join, wav, write_flac
from tests.e2e.stack import Gateway, Stack, is_ready, run_gateway, wait_until
from tests.gateway.standin import Received, StandIn
from whisper_serve.engine.weights import Weights
from whisper_serve.evaluation.corpus import Sample, read_corpus
from whisper_serve.evaluation.scores import error_rate
from whisper_serve.evaluation.systems import OpenAIWhisper
from whisper_serve.speech import SAMPLE_RATE, load_audio

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

TALK_SECONDS = 1210
HOURS = 3
SAMPLES_OF_LATENCY = 9


@pytest.fixture(scope="module")
def talk(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Twenty minutes of English of many speakers."""
    english = [sample for sample in read_corpus(corpus) if sample.language == "en"]
    single = [sample for sample in english if not sample.name.startswith("en/longform/librispeech")]
    audio, transcript = join(single, TALK_SECONDS)
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    path.write_bytes(wav(audio))
    return Sample(path.name, path, "en", transcript)


@pytest.mark.weights
def test_twenty_minutes_are_as_right_as_openai_whispers(stack: Stack, talk: Sample, base_weights: Weights) -> None:
    started = time.monotonic()
    with talk.path.open("rb") as file:
        answer = stack.http.post("/v1/audio/transcriptions", files={"file": file}, data={"language": "en"}, timeout=900)
    took = time.monotonic() - started
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["seconds"] >= TALK_SECONDS
    own = error_rate(talk.transcript, answer.json()["text"], "en").percent
    [text] = OpenAIWhisper(base_weights, "cpu").transcribe([talk], "transcribe", lambda _: None).values
    theirs = error_rate(talk.transcript, text, "en").percent
    print(f"word error rate {own:.2f} % in {took:.0f} s; openai-whisper {theirs:.2f} %")
    assert own <= theirs + 0.5


@pytest.mark.weights
def test_the_first_text_of_a_stream_comes_early(stack: Stack, talk: Sample) -> None:
    times: list[float] = []
    deltas: list[str] = []
    started = time.monotonic()
    events = stack.sdk.audio.transcriptions.create(
        model="whisper-1", file=talk.path, language="en", stream=True, timeout=900
    )
    for event in events:
        times.append(time.monotonic() - started)
        if event.type == "transcript.text.delta":
            deltas.append(event.delta)
    assert event.type == "transcript.text.done"
    assert "".join(deltas) == event.text
    assert len(deltas) > TALK_SECONDS / 60
    print(f"first text after {times[0]:.1f} s of {times[-1]:.1f} s")
    assert times[0] < times[-1] / 10


@pytest.mark.weights
def test_a_long_file_leaves_room_for_a_short_one(stack: Stack, talk: Sample, clips: dict[str, Sample]) -> None:
    clip = clips["en-librispeech-61-70968-0000.flac"].path.read_bytes()
    latency(stack, clip)
    idle = statistics.median(latency(stack, clip) for _ in range(SAMPLES_OF_LATENCY))
    with stack.sdk.audio.transcriptions.create(
        model="whisper-1", file=talk.path, language="en", stream=True, timeout=900
    ) as events:
        assert next(iter(events)).type == "transcript.text.delta"
        busy = statistics.median(latency(stack, clip) for _ in range(SAMPLES_OF_LATENCY))
        assert stack.metric("whisper_gateway_queued_audio_seconds") > 0, "the long file was done before the short ones"
    print(f"median of the short file: {idle:.2f} s alone, {busy:.2f} s beside the long one ({busy / idle:.1f} times)")
    assert busy < 4 * idle
    wait_until(lambda: stack.metric("whisper_gateway_in_flight_audio_seconds") == 0, 60)


def test_three_hours_need_little_memory(talk: Sample, tmp_path: Path) -> None:
    """Before a model server that answers at once, so that all that takes time is the gateway."""
    file = tmp_path / "day.flac"
    repeats = -(-HOURS * 3600 // TALK_SECONDS)
    blocks = np.array_split(load_audio(talk.path), TALK_SECONDS)
    write_flac(file, (block for _ in range(repeats) for block in blocks))
    with quick_model() as model, run_gateway(f"127.0.0.1:{model.port}", WHISPER_REQUEST_TIMEOUT="1500") as gateway:
        wait_until(lambda: is_ready(gateway), 30)
        before = peak_memory(gateway)
        started = time.monotonic()
        with file.open("rb") as content:
            answer = gateway.http.post("/v1/audio/transcriptions", files={"file": content}, timeout=1600)
        took = time.monotonic() - started
        peak = peak_memory(gateway)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["seconds"] >= HOURS * 3600
    # The stand-in's words are the lengths of the windows that it got.
    heard = sum(map(int, answer.json()["text"].split())) / SAMPLE_RATE
    print(f"{heard:.0f} s of speech in {took:.0f} s; peak {peak / 1e6:.0f} MB, before the file {before / 1e6:.0f} MB")
    assert heard > 0.75 * HOURS * 3600
    assert peak < 400e6


def latency(gateway: Gateway, clip: bytes) -> float:
    started = time.monotonic()
    answer = gateway.text(clip)
    assert answer.status_code == 200, answer.text
    return time.monotonic() - started


def peak_memory(gateway: Gateway) -> int:
    """The most bytes that the gateway has held in memory at once."""
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    [kibibytes] = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kibibytes) * 1024


@contextmanager
def quick_model() -> Iterator[StandIn]:
    """A stand-in for TorchServe in a thread of its own, which answers at once and forgets what it was sent."""
    server = StandIn()

    def forget(_received: Received) -> float:
        server.received.clear()
        return 0.0

    server.delay = forget
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
        yield server
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

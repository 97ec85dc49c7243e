"""The gRPC service of the whole stack, from Python, from Node and from the command line, beside REST."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.recordings import JFK, stereo_wav
from tests.e2e.stack import COMMAND, Stack, wait_until
from tests.gateway.rpc_calls import stub_of
from whisper_serve.client import (
    DeadlineExceeded,
    InvalidRequest,
    RenderOptions,
    SpeechClient,
    Transcription,
    TranscriptionOptions,
)
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.evaluation.scores import error_rate
from whisper_serve.speech import Audio, open_audio
from whisper_serve.speech_v1 import speech_pb2

pytestmark = [pytest.mark.e2e, pytest.mark.weights]

ROOT = Path(__file__).resolve().parents[2]
NODE = Path(__file__).parent / "node"
SONNET = "en-librivox-sonnet-1.mp3"


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[SpeechClient]:
    with SpeechClient(stack.grpc) as made:
        yield made


def rest(stack: Stack, path: Path, **fields: Any) -> Any:
    form = {"model": "whisper-1", "response_format": "verbose_json", **fields}
    answer = stack.http.post("/v1/audio/transcriptions", files={"file": path.read_bytes()}, data=form)
    return answer.json() if form["response_format"].endswith("json") else answer.text


def test_results_are_those_of_rest(stack: Stack, client: SpeechClient, clips: dict[str, Sample]) -> None:
    path = clips[SONNET].path
    theirs = rest(stack, path, **{"timestamp_granularities[]": ["segment", "word"]})
    events = list(client.stream(path, TranscriptionOptions(word_timestamps=True, logprobs=True)))
    ours = events[-1]
    assert isinstance(ours, Transcription)
    assert events[:-1] == list(ours.segments)
    assert len(events) > 2
    assert (ours.text, ours.language, ours.duration) == (theirs["text"], theirs["language"], theirs["duration"])
    assert ours.language_probability == pytest.approx(theirs["language_probability"], abs=1e-3)
    for segment, other in zip(ours.segments, theirs["segments"], strict=True):
        assert segment.text == other["text"]
        assert (segment.start, segment.end, list(segment.tokens)) == (other["start"], other["end"], other["tokens"])
        assert b"".join(token.token_bytes for token in segment.logprobs).decode() == segment.text
    words = [word for segment in ours.segments for word in segment.words]
    assert [(word.word.strip(), word.start, word.end) for word in words] == [
        (word["word"].strip(), word["start"], word["end"]) for word in theirs["words"]
    ]
    path = clips["en-jfk.mp3"].path
    srt = TranscriptionOptions(render=RenderOptions(format="RENDER_FORMAT_SRT", max_line_width=30))
    assert client.transcribe(path, srt).rendered == rest(stack, path, response_format="srt", max_line_width="30")


def test_a_language_is_as_probable_as_it_was_where_it_was_found(
    stack: Stack, client: SpeechClient, clips: dict[str, Sample]
) -> None:
    path = clips["fr-common-voice-20046123.mp3"].path
    found = client.detect_language(path).probabilities[0]
    assert rest(stack, path)["language_probability"] == pytest.approx(found.probability, abs=0.02)
    assert "language_probability" not in rest(stack, path, language=found.language_code)
    assert not client.transcribe(path, TranscriptionOptions(language="fr")).HasField("language_probability")


def test_languages_and_translations(client: SpeechClient, clips: dict[str, Sample]) -> None:
    french = clips["fr-common-voice-20046123.mp3"].path
    found = client.detect_language(french)
    assert (found.language, found.language_code) == ("french", "fr")
    assert sum(each.probability for each in found.probabilities) == pytest.approx(1, abs=0.01)
    translated = client.transcribe(french, TranscriptionOptions(task="TASK_TRANSLATE"))
    assert "family" in translated.text
    with pytest.raises(InvalidRequest, match="text"):
        client.transcribe(b"just text, whatever its name says")


def test_a_deadline_stops_the_windows(stack: Stack, clips: dict[str, Sample]) -> None:
    content = clips["de-librivox-simplicissimus.ogg"].path
    with SpeechClient(stack.grpc, timeout=1.0) as hasty, pytest.raises(DeadlineExceeded):
        hasty.transcribe(content)
    wait_until(lambda: stack.metric("whisper_gateway_in_flight_audio_seconds") == 0, 20)
    assert stack.metric("whisper_gateway_queued_audio_seconds") == 0


def test_health_says_serving(stack: Stack) -> None:
    with grpc.insecure_channel(stack.grpc) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_command_line_asks_a_server(stack: Stack, clips: dict[str, Sample]) -> None:
    command = [*COMMAND, "transcribe", str(clips["en-jfk.mp3"].path), "--url", f"grpc://{stack.grpc}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == JFK + "\n"


@pytest.fixture(scope="module")
def node_client() -> list[str]:
    """The command that runs the client in Node, with its packages installed beside it, ignored by git."""
    if missing := [name for name in ("node", "npm") if shutil.which(name) is None]:
        pytest.skip(f"{' and '.join(missing)} not found: install Node to test a client in another language")
    lock, installed = NODE / "package-lock.json", NODE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(npm, cwd=NODE, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
    return ["node", str(NODE / "client.js")]


def test_a_client_in_node_gets_the_same(
    stack: Stack, client: SpeechClient, clips: dict[str, Sample], node_client: list[str]
) -> None:
    path = clips["en-jfk.mp3"].path
    command = [*node_client, stack.grpc, str(ROOT / "proto" / "whisper" / "v1" / "speech.proto"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    ours = client.transcribe(path, TranscriptionOptions(language="en", word_timestamps=True))
    assert found["whole"]["text"] == ours.text == JFK
    assert found["whole"] == found["chunks"] == found["streamed"][-1]["transcription"]
    assert [event["segment"] for event in found["streamed"][:-1]] == found["whole"]["segments"]
    words = [word for segment in found["whole"]["segments"] for word in segment["words"]]
    assert [word["word"] for word in words] == [word.word for segment in ours.segments for word in segment.words]
    assert (found["language"], found["whole"]["task"]) == ("en", "TASK_TRANSCRIBE")
    assert "whisper-1" in found["models"]
    assert found["refused"]["code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "klingon" in found["refused"]["details"]


@pytest.fixture(scope="module")
def spoken(data: Path) -> Audio:
    with open_audio(data / "en-jfk.mp3") as stream:
        return np.concatenate(list(stream))


def test_20_megabytes_come_in_one_message(stack: Stack, spoken: Audio, tmp_path: Path) -> None:
    path = tmp_path / "whole.wav"
    stereo_wav(path, spoken, seconds=106)
    audio = path.read_bytes()
    assert len(audio) > 20_000_000
    with stub_of(stack.grpc) as stub:
        answer = stub.Transcribe(
            speech_pb2.TranscribeRequest(options=speech_pb2.TranscriptionOptions(language="en"), audio=audio)
        )
    assert answer.transcription.text == rest(stack, path, language="en")["text"]
    assert error_rate(JFK, answer.transcription.text, "en").errors == 0


@pytest.mark.slow
def test_200_megabytes_are_streamed(stack: Stack, client: SpeechClient, spoken: Audio, tmp_path: Path) -> None:
    """Twenty minutes of silence in stereo, in which somebody speaks once."""
    path = tmp_path / "long.wav"
    stereo_wav(path, spoken, seconds=1200)
    assert path.stat().st_size > 200_000_000
    answer = client.transcribe(path, TranscriptionOptions(language="en"))
    assert (answer.text, answer.duration) == (JFK, 1200)
    assert answer.segments[0].start == pytest.approx(600, abs=1)
    with path.open("rb") as file:
        form = {"language": "en", "response_format": "text"}
        assert stack.http.post("/v1/audio/transcriptions", files={"file": file}, data=form).text == JFK + "\n"

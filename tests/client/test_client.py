"""The Python clients, sync and async, against the gateway with a pipeline that answers by rule."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.deterministic import Served, serve
from tests.gateway.standin import in_loop, until
from tests.gateway.test_app import TEXT, wait_until
from whisper_serve.client import (
    AsyncSpeechClient,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    Segment,
    ServerFailed,
    SpeechClient,
    SpeechClientError,
    Transcription,
    TranscriptionOptions,
    Unauthenticated,
    Unavailable,
)
from whisper_serve.client.requests import WHOLE_BYTES
from whisper_serve.gateway import failures
from whisper_serve.gateway.keys import add_key

LARGE = b"audio" + bytes(WHOLE_BYTES)


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with serve() as served:
        yield served


@pytest.fixture
def served(running: Served) -> Iterator[Served]:
    """As new."""
    running.pipeline.works.clear()
    yield running
    running.pipeline.refuse = None
    running.call(running.pipeline.gate.set)


@pytest.fixture
def client(served: Served) -> Iterator[SpeechClient]:
    with SpeechClient(served.grpc) as made:
        yield made


def test_files_are_transcribed_whatever_they_come_as(served: Served, client: SpeechClient, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(LARGE)
    for audio, size in (
        (b"audio", 5),
        (io.BytesIO(b"audio"), 5),
        (LARGE, len(LARGE)),
        (io.BytesIO(LARGE), len(LARGE)),
        (path, len(LARGE)),
        (str(path), len(LARGE)),
    ):
        assert client.transcribe(audio, TranscriptionOptions(language="en")).text == TEXT
        assert (served.pipeline.works[-1].size_bytes, served.pipeline.works[-1].options.language) == (size, "en")
    assert client.transcribe(b"audio").language_code == "en"
    assert client.detect_language(b"audio").language == "english"
    assert "whisper-1" in [model.id for model in client.list_models()]
    with pytest.raises(FileNotFoundError):
        client.transcribe(tmp_path / "none")


def test_segments_come_as_they_are_done(served: Served, client: SpeechClient) -> None:
    events = list(client.stream(b"audio"))
    assert [type(event) for event in events] == [Segment, Segment, Transcription]
    assert events[-1].text == TEXT
    served.call(served.pipeline.gate.clear)
    segments = client.stream(b"audio")
    assert next(segments).text == " One window."
    segments.close()  # type: ignore[attr-defined]
    wait_until(lambda: served.pipeline.open_now == 0, 2)


def test_errors_are_typed_and_say_what_the_server_says(served: Served, client: SpeechClient) -> None:
    with pytest.raises(InvalidRequest, match="'klingon' is not a language") as invalid:
        client.transcribe(b"audio", TranscriptionOptions(language="klingon"))
    assert invalid.value.violations == {"options.language": str(invalid.value)}
    assert (invalid.value.reason, invalid.value.retry_after) == ("INVALID_VALUE", None)
    assert invalid.value.request_id.startswith("req_")
    with pytest.raises(InvalidRequest) as invalid:
        client.transcribe(b"noise" + LARGE)
    assert "chunk" in invalid.value.violations
    with pytest.raises(ModelNotFound):
        client.detect_language(b"audio", model="gpt-9")
    for raised, kind, retry_after, ahead in (
        (failures.Overloaded(2.5), Overloaded, 2.5, None),
        (failures.Overloaded(2.5, audio_seconds_ahead=239.2), Overloaded, 2.5, 240),
        (failures.NotReady(3), Unavailable, 3, None),
        (failures.DeadlineExceeded(9), DeadlineExceeded, None, None),
        (ZeroDivisionError(), ServerFailed, None, None),
    ):
        served.pipeline.refuse = raised
        with pytest.raises(kind) as caught:
            client.transcribe(b"audio")
        assert (caught.value.retry_after, caught.value.audio_seconds_ahead) == (retry_after, ahead)
        with pytest.raises(kind):
            list(client.stream(b"audio"))
    with pytest.raises(Overloaded, match="larger than max") as large:
        client.detect_language(bytes(33 * 1024**2))
    assert large.value.retry_after is None


def test_no_server_and_no_time(served: Served) -> None:
    with SpeechClient("127.0.0.1:1") as client, pytest.raises(Unavailable):
        client.list_models()
    served.call(served.pipeline.gate.clear)
    with SpeechClient(served.grpc, timeout=0.3) as client, pytest.raises(DeadlineExceeded):
        client.transcribe(b"audio")
    wait_until(lambda: served.pipeline.open_now == 0, 2)


def test_keys_are_sent(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    _, key = add_key(path)
    with serve(keys_file=path) as served:
        with SpeechClient(served.grpc, key=key) as client:
            assert client.transcribe(b"audio").text == TEXT
        with SpeechClient(served.grpc) as client, pytest.raises(Unauthenticated, match="Bearer"):
            client.transcribe(b"audio")


def test_the_async_client_does_the_same(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(LARGE)

    async def expect(kind: type[SpeechClientError], call: Callable[[], Awaitable[Any]]) -> None:
        with pytest.raises(kind):
            await call()

    @in_loop
    async def run() -> None:
        async with AsyncSpeechClient(served.grpc) as client:
            for audio in (b"audio", path, io.BytesIO(LARGE)):
                assert (await client.transcribe(audio, TranscriptionOptions(language="en"))).text == TEXT
            assert [type(each) async for each in client.stream(b"audio")] == [Segment, Segment, Transcription]
            assert (await client.detect_language(path)).language_code == "en"
            assert "whisper-1" in [model.id for model in await client.list_models()]
            await expect(InvalidRequest, lambda: client.transcribe(b"noise" + LARGE))
            await expect(ModelNotFound, lambda: client.detect_language(b"audio", model="gpt-9"))
            served.call(served.pipeline.gate.clear)
            waiting = asyncio.ensure_future(client.transcribe(b"audio"))
            await until(lambda: served.pipeline.open_now == 1)
            waiting.cancel()
            await until(lambda: served.pipeline.open_now == 0, 2)

    run()


@pytest.mark.parametrize("from_disk", [False, True])
def test_the_async_client_tells_why_an_upload_was_refused_before_its_end(
    served: Served, tmp_path: Path, from_disk: bool, caplog: pytest.LogCaptureFixture
) -> None:
    large = bytes(40 * 1024**2)
    path = tmp_path / "a.wav"
    path.write_bytes(large)

    @in_loop
    async def run() -> None:
        async with AsyncSpeechClient(served.grpc) as client:
            for _ in range(20):
                with pytest.raises(ModelNotFound) as caught:
                    await client.transcribe(path if from_disk else large, TranscriptionOptions(model="gpt-9"))
                assert caught.value.reason == "MODEL_NOT_FOUND"

    run()
    assert not caplog.records


def test_cancelling_an_upload_ends_its_work(served: Served) -> None:
    @in_loop
    async def run() -> None:
        served.call(served.pipeline.gate.clear)
        async with AsyncSpeechClient(served.grpc) as client:
            waiting = asyncio.ensure_future(client.transcribe(LARGE))
            await until(lambda: served.pipeline.open_now == 1)
            waiting.cancel()
            await until(lambda: served.pipeline.open_now == 0, 2)
            with pytest.raises(asyncio.CancelledError):
                await waiting
            waiting = asyncio.ensure_future(client.transcribe(LARGE))
            await until(lambda: served.pipeline.open_now == 1)
        with pytest.raises(SpeechClientError):
            await waiting

    run()

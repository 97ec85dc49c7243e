"""Our own client against the gateway, over both transports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest
from websockets.asyncio.client import connect

from tests.gateway.deterministic import Served, serve
from tests.gateway.live.test_websocket import JFK, PCM
from tests.gateway.rpc_calls import detail, failure
from tests.gateway.test_app import wait_until
from tests.speech.conftest import encode_audio
from whisper_serve.client import live_websocket
from whisper_serve.client.live import LiveEvent, LiveFailed, LiveSettings, listen, listen_async
from whisper_serve.gateway.failures import BackendUnavailable
from whisper_serve.speech_v1 import speech_pb2, speech_pb2_grpc

Request = speech_pb2.StreamingRecognizeRequest
Config = speech_pb2.StreamingRecognitionConfig


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with serve() as served:
        yield served


@pytest.fixture
def served(running: Served) -> Iterator[Served]:
    yield running
    running.pipeline.model.fails = None
    running.pipeline.model.asked.clear()


@pytest.fixture(params=["ws", "grpc"])
def url(served: Served, request: pytest.FixtureRequest) -> str:
    return f"grpc://{served.grpc}" if request.param == "grpc" else served.url.replace("http", "ws")


def chunks(data: bytes = PCM, size: int = 8000) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def test_a_stream_is_heard(served: Served, url: str) -> None:
    settings = LiveSettings(
        language="en", prompt="Names.", interim_results=False, condition_on_previous_text=True, beam_size=3
    )
    events = list(listen(url, chunks(), settings))
    finals = [event for event in events if event.type == "final"]
    assert [event.utterance for event in finals] == [0, 1, 2]
    assert all(event.text == event.stable and event.language == "en" for event in finals)
    assert [event.segments[0]["start"] for event in finals] == [event.start for event in finals]
    assert [event.type for event in events[:2]] == ["speech_started", "speech_ended"]
    assert events[-1].type == "done"
    assert events[-1].duration == pytest.approx(11.0, abs=0.01)
    asked = served.pipeline.model.asked[0].options
    assert (asked.language, asked.prompt, asked.beam_size) == ("en", "Names.", 3)
    assert served.pipeline.model.asked[-1].options.prompt == f"Names. {finals[0].text} {finals[1].text}"


def test_interim_results_come_while_somebody_speaks(served: Served, url: str) -> None:
    async def hear() -> list[LiveEvent]:
        heard: list[LiveEvent] = []
        more = asyncio.Event()

        async def speak() -> AsyncIterator[bytes]:
            for chunk in chunks(PCM[: 2 * 16_000 * 2]):
                yield chunk
            await more.wait()

        async for event in listen_async(url, speak(), LiveSettings(endpointing_ms=1000)):
            heard.append(event)
            if event.type == "interim":
                more.set()
        return heard

    kinds = [event.type for event in asyncio.run(hear())]
    assert kinds == ["speech_started", "interim", "speech_ended", "final", "done"]


def test_a_recorded_container_is_heard(url: str) -> None:
    samples = JFK.repeat(3)
    data = encode_audio(samples, "ogg", "libopus", rate=48_000, options={"page_duration": "200000"})
    events = list(listen(url, chunks(data, 1000), LiveSettings(encoding="ogg")))
    assert sum(event.type == "final" for event in events) == 3


def test_errors_are_raised(served: Served, url: str) -> None:
    for settings, code in (
        (LiveSettings(language="klingon"), "invalid_value"),
        (LiveSettings(sample_rate=7), "invalid_value"),
        (LiveSettings(endpointing_ms=1), "invalid_value"),
        (LiveSettings(model="gpt-9"), "model_not_found"),
    ):
        with pytest.raises(LiveFailed) as caught:
            list(listen(url, chunks(), settings))
        assert caught.value.code == code
    served.pipeline.model.fails = BackendUnavailable()
    with pytest.raises(LiveFailed, match="does not answer"):
        list(listen(url, chunks()))


def test_nobody_there(url: str) -> None:
    with pytest.raises(LiveFailed):
        list(listen(url.rpartition(":")[0] + ":1", chunks()))
    with pytest.raises(LiveFailed, match="ws://"):
        list(listen("http://127.0.0.1", chunks()))


def test_an_error_of_the_source_is_raised(url: str) -> None:
    def broken() -> Iterator[bytes]:
        yield PCM[:3200]
        raise ValueError("the microphone is gone")

    with pytest.raises(ValueError, match="microphone"):
        list(listen(url, broken()))


def test_leaving_early_ends_the_work(served: Served, url: str) -> None:
    for event in listen(url, chunks()):
        assert event.type == "speech_started"
        break
    wait_until(lambda: served.pipeline.hub._open == 0)


def test_a_gateway_that_stops_reading_for_a_while_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_websocket, "connect", partial(connect, ping_interval=0.1, ping_timeout=0.5))
    with serve(live_buffer_seconds=30) as served:
        model = served.pipeline.model
        served.call(model.open.clear)

        async def hear() -> list[LiveEvent]:
            address = served.url.replace("http", "ws")
            source = chunks(PCM * 6, 16_000)

            async def speak() -> AsyncIterator[bytes]:
                for chunk in source:
                    yield chunk

            async def answer_late() -> None:
                await asyncio.sleep(2)
                served.call(model.open.set)

            late = asyncio.create_task(answer_late())
            heard = [event async for event in listen_async(address, speak(), LiveSettings(interim_results=False))]
            await late
            return heard

        *_, done = asyncio.run(hear())
        assert done.type == "done"
        assert done.duration == pytest.approx(66, abs=0.1)


def test_over_grpc_wrong_messages_are_refused(served: Served) -> None:
    with grpc.insecure_channel(served.grpc) as channel:
        stub: Any = speech_pb2_grpc.SpeechServiceStub(channel)

        def status(*requests: speech_pb2.StreamingRecognizeRequest) -> Any:
            with pytest.raises(grpc.RpcError) as caught:
                list(stub.StreamingRecognize(iter(requests)))
            return caught.value

        pcm16 = Config(encoding=speech_pb2.AUDIO_ENCODING_PCM16)
        for requests, words in (
            ([], "configuration"),
            ([Request(audio=b"ab")], "configuration"),
            ([Request(config=Config())], "encoding"),
            ([Request(config=pcm16), Request(config=pcm16)], "audio or a commit"),
        ):
            error = status(*requests)
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert words in error.details()


def test_over_grpc_what_live_audio_cannot_do_is_named(served: Served) -> None:
    with grpc.insecure_channel(served.grpc) as channel:
        stub: Any = speech_pb2_grpc.SpeechServiceStub(channel)
        for options, path in (
            ({"language": "auto-per-window"}, "config.options.language"),
            ({"vad_filter": False, "vad": speech_pb2.VadOptions(threshold=0.7)}, "config.options.vad_filter"),
            ({"render": speech_pb2.RenderOptions(format="RENDER_FORMAT_SRT")}, "config.options.render.format"),
        ):
            asked = speech_pb2.TranscriptionOptions(**options)
            config = Config(encoding=speech_pb2.AUDIO_ENCODING_PCM16, options=asked)
            requests = iter([Request(config=config)])
            error = failure(lambda requests=requests: stub.StreamingRecognize(requests))  # type: ignore[misc]
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert [each.field for each in detail(error, BadRequest).field_violations] == [path]


def test_over_grpc_a_commit_ends_an_utterance(served: Served) -> None:
    with grpc.insecure_channel(served.grpc) as channel:
        stub: Any = speech_pb2_grpc.SpeechServiceStub(channel)
        requests = [
            Request(config=Config(encoding=speech_pb2.AUDIO_ENCODING_PCM16)),
            Request(audio=PCM[: 2 * 16_000]),
            Request(commit=speech_pb2.CommitUtterance()),
            Request(audio=PCM[2 * 16_000 : 4 * 16_000]),
        ]
        found = [
            each.result for each in stub.StreamingRecognize(iter(requests)) if each.WhichOneof("event") == "result"
        ]
        assert [(each.utterance, each.is_final) for each in found] == [(0, True), (1, True)]


def test_over_grpc_streams_come_to_their_end_when_the_gateway_stops() -> None:
    with serve() as served:

        async def hear() -> list[LiveEvent]:
            heard: list[LiveEvent] = []
            never = asyncio.Event()

            async def speak() -> AsyncIterator[bytes]:
                yield PCM[: 2 * 16_000]
                await never.wait()

            settings = LiveSettings(interim_results=False)
            error: LiveFailed | None = None
            try:
                async for event in listen_async(f"grpc://{served.grpc}", speak(), settings):
                    heard.append(event)
                    if event.type == "speech_started":
                        served.call(served.server.begin_drain)
            except LiveFailed as caught:
                error = caught
            assert error is not None
            assert error.code == "draining"
            return heard

        assert [event.type for event in asyncio.run(hear())] == ["speech_started", "speech_ended", "final"]

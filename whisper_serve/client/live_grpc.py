"""Live streams over gRPC."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
from google.protobuf.json_format import MessageToDict

from whisper_serve.client.errors import read_error
from whisper_serve.client.live_events import LiveEvent, LiveFailed, LiveSettings
from whisper_serve.client.requests import channel_to, credentials_of, metadata_of
from whisper_serve.speech_v1 import speech_pb2, speech_pb2_grpc

AHEAD: Final = 16
"""Chunks that wait for gRPC to take them."""
_ENCODINGS: Final = {
    "pcm_s16le": speech_pb2.AUDIO_ENCODING_PCM16,
    "webm": speech_pb2.AUDIO_ENCODING_WEBM_OPUS,
    "ogg": speech_pb2.AUDIO_ENCODING_OGG_OPUS,
}


async def events(
    url: str, audio: AsyncIterator[bytes], settings: LiveSettings, key: str | None
) -> AsyncGenerator[LiveEvent, None]:
    """See `live.listen_async`."""
    parts = urlsplit(url)
    with channel_to(parts.netloc, credentials_of(parts.scheme == "grpcs")) as channel:
        stub: Any = speech_pb2_grpc.SpeechServiceStub(channel)
        requests = _Requests(speech_pb2.StreamingRecognizeRequest(config=_config(settings)))
        sending = asyncio.create_task(requests.fill(audio))
        call = stub.StreamingRecognize(requests, metadata=metadata_of(key))
        try:
            while (response := await asyncio.to_thread(next, call, None)) is not None:
                yield _event(response)
        except grpc.RpcError as error:
            told = read_error(error)
            raise LiveFailed(f"{url}: {told}", told.reason.lower()) from told
        finally:
            call.cancel()
            requests.close()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


class _Requests:
    """What gRPC's own thread takes from the event loop, a few ahead.

    gRPC's asyncio client is not used: when a server ends a stream that is still being sent, it may tell an internal
    error of its own in place of the server's.
    """

    def __init__(self, first: speech_pb2.StreamingRecognizeRequest) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(AHEAD)
        self._closed = False
        self._queue: queue.SimpleQueue[speech_pb2.StreamingRecognizeRequest | None] = queue.SimpleQueue()
        self._queue.put(first)

    async def fill(self, audio: AsyncIterator[bytes]) -> None:
        async for chunk in audio:
            await self._room.acquire()
            self._queue.put(speech_pb2.StreamingRecognizeRequest(audio=chunk))
        self._queue.put(None)

    def close(self) -> None:
        """Have the thread come to an end."""
        self._closed = True
        self._queue.put(None)

    def __iter__(self) -> _Requests:
        return self

    def __next__(self) -> speech_pb2.StreamingRecognizeRequest:
        request = self._queue.get()
        if request is None or self._closed:
            raise StopIteration
        self._loop.call_soon_threadsafe(self._room.release)
        return request


def _config(settings: LiveSettings) -> speech_pb2.StreamingRecognitionConfig:
    if settings.encoding not in _ENCODINGS:
        raise LiveFailed(f"over gRPC the encoding must be one of {', '.join(_ENCODINGS)}, not {settings.encoding!r}")
    return speech_pb2.StreamingRecognitionConfig(
        encoding=_ENCODINGS[settings.encoding],
        sample_rate_hertz=settings.sample_rate,
        channel_count=settings.channels,
        interim_results=settings.interim_results,
        speech_events=True,
        options=speech_pb2.TranscriptionOptions(
            model=settings.model or "",
            task=f"TASK_{settings.task.upper()}",
            language=settings.language or "",
            prompt=settings.prompt or "",
            word_timestamps=settings.words,
            condition_on_previous_text=settings.condition_on_previous_text,
            beam_size=settings.beam_size,
            vad=speech_pb2.VadOptions(silence_duration_ms=settings.endpointing_ms),
        ),
    )


def _event(response: speech_pb2.StreamingRecognizeResponse) -> LiveEvent:
    kind = response.WhichOneof("event")
    if kind == "summary":
        return LiveEvent("done", duration=response.summary.duration)
    if kind == "speech_event":
        began = response.speech_event.type == speech_pb2.SpeechEvent.TYPE_SPEECH_STARTED
        time = response.speech_event.time
        return LiveEvent("speech_started", start=time) if began else LiveEvent("speech_ended", end=time)
    result = response.result
    segments = tuple(map(_as_dict, result.segments))
    return LiveEvent(
        "final" if result.is_final else "interim",
        utterance=result.utterance,
        start=result.start,
        end=result.end,
        text=result.text,
        stable=result.stable_text,
        language=result.language_code,
        segments=segments,
        words=tuple(word for each in result.segments for word in map(_as_dict, each.words)),
    )


def _as_dict(message: Any) -> Mapping[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)

"""Live streams over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
import grpc.aio
from google.protobuf.json_format import MessageToDict

from whisper_serve.client.errors import read_error
from whisper_serve.client.live_events import LiveEvent, LiveFailed, LiveSettings
from whisper_serve.client.requests import OPTIONS, credentials_of, metadata_of
from whisper_serve.speech_v1 import speech_pb2, speech_pb2_grpc

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
    credentials = credentials_of(parts.scheme == "grpcs")
    channel = (
        grpc.aio.secure_channel(parts.netloc, credentials, OPTIONS)
        if credentials
        else grpc.aio.insecure_channel(parts.netloc, OPTIONS)
    )
    async with channel:
        stub: Any = speech_pb2_grpc.SpeechServiceStub(channel)
        call = stub.StreamingRecognize(_requests(audio, settings), metadata=metadata_of(key))
        try:
            async for response in call:
                yield _event(response)
        except grpc.aio.AioRpcError as error:
            told = read_error(error)
            raise LiveFailed(f"{url}: {told}", told.reason.lower()) from told
        finally:
            call.cancel()


async def _requests(
    audio: AsyncIterator[bytes], settings: LiveSettings
) -> AsyncIterator[speech_pb2.StreamingRecognizeRequest]:
    yield speech_pb2.StreamingRecognizeRequest(config=_config(settings))
    async for chunk in audio:
        yield speech_pb2.StreamingRecognizeRequest(audio=chunk)


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

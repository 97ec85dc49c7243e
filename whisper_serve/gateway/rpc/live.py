"""Live audio over gRPC: a live session, with its settings and events as messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from whisper_serve.gateway.failures import BadUpload, Draining, StreamIdle
from whisper_serve.gateway.live.events import Done, Event, SpeechEnded, SpeechStarted
from whisper_serve.gateway.live.events import Final as FinalEvent
from whisper_serve.gateway.live.options import DEFAULT_VAD, PCM, LiveOptions
from whisper_serve.gateway.live.session import LiveSession
from whisper_serve.gateway.rpc.call import Call
from whisper_serve.gateway.rpc.messages import segment
from whisper_serve.gateway.rpc.options import read_options
from whisper_serve.gateway.service import Service
from whisper_serve.gateway.timing import within
from whisper_serve.speech import SAMPLE_RATE
from whisper_serve.speech.formats import usage
from whisper_serve.speech_v1 import speech_pb2
from whisper_serve.wire import InvalidOption

Requests = AsyncIterator[speech_pb2.StreamingRecognizeRequest]

_ENCODINGS: Final = {
    speech_pb2.AUDIO_ENCODING_PCM16: PCM,
    speech_pb2.AUDIO_ENCODING_WEBM_OPUS: "webm",
    speech_pb2.AUDIO_ENCODING_OGG_OPUS: "ogg",
}


async def recognize(service: Service, requests: Requests, call: Call) -> None:
    """Answer a stream of audio with one of events.

    Raises:
        GatewayError, InvalidOption, SpeechError: why the stream ends before its time.
    """
    with service.lifecycle.work(), service.pipeline.live(call.client, None) as place:
        try:
            first = await within(place.limits.idle_seconds, anext(requests, None))
        except TimeoutError as error:
            raise StreamIdle(place.limits.idle_seconds) from error
        if first is None or first.WhichOneof("payload") != "config":
            raise BadUpload("the first message must hold the configuration", param="config")
        call.model = service.model_named(first.config.options.model)
        async with place.open(read_config(first.config), call.model) as session:
            reading = asyncio.create_task(_read(service, requests, session))
            try:
                async for event in session.events():
                    if isinstance(event, Done) and reading.done() and reading.result():
                        raise Draining()
                    if message := _message(event, speech_events=first.config.speech_events):
                        await call.write(message)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)


def read_config(config: speech_pb2.StreamingRecognitionConfig) -> LiveOptions:
    """What is asked of a stream.

    Raises:
        InvalidOption: a field's value cannot be used.
    """
    if config.encoding not in _ENCODINGS:
        raise InvalidOption("encoding", "encoding must be set to one of the values of AudioEncoding")
    if config.options.HasField("render"):
        raise InvalidOption("response_format", "live audio is not rendered: leave render out")
    asked = read_options(config.options)
    if asked.language_per_window:
        raise InvalidOption("language", "a stream is in one language: name it, or leave language out to find it out")
    if asked.vad is None:
        raise InvalidOption("vad_filter", "in live audio speech is always looked for: leave vad_filter out")
    vad = asked.vad
    if not config.options.vad.HasField("silence_duration_ms"):
        vad = replace(vad, min_silence_ms=DEFAULT_VAD.min_silence_ms)
    return LiveOptions(
        window=asked.options,
        encoding=_ENCODINGS[config.encoding],
        sample_rate=config.sample_rate_hertz or SAMPLE_RATE,
        channels=config.channel_count or 1,
        interim_results=config.interim_results,
        vad=vad,
        condition_on_previous_text=asked.condition_on_previous_text,
    )


async def _read(service: Service, requests: Requests, session: LiveSession) -> bool:
    """Hand the audio to the session: whether the gateway and not the client ended the stream."""
    cut_short = False
    try:
        while request := await service.lifecycle.unless_draining(anext(requests, None)):
            kind = request.WhichOneof("payload")
            if kind == "audio":
                await session.write(request.audio)
            elif kind == "commit":
                await session.commit()
            else:
                raise BadUpload("a message after the first must hold audio or a commit", param="config")
        cut_short = service.lifecycle.draining
        await session.end()
    except Exception as error:
        session.fail(error)
    return cut_short


def _message(event: Event, *, speech_events: bool) -> speech_pb2.StreamingRecognizeResponse | None:
    if isinstance(event, (SpeechStarted, SpeechEnded)):
        return _speech_event(event) if speech_events else None
    if isinstance(event, Done):
        used = speech_pb2.Usage(seconds=usage(event.duration)["seconds"])
        summary = speech_pb2.StreamingRecognitionSummary(duration=event.duration, usage=used)
        return speech_pb2.StreamingRecognizeResponse(summary=summary)
    result = speech_pb2.StreamingRecognitionResult(
        utterance=event.utterance,
        is_final=isinstance(event, FinalEvent),
        start=event.start,
        end=event.end,
        text=event.text,
        stable_text=event.stable,
        language_code=event.language,
        segments=map(segment, event.transcript.segments) if isinstance(event, FinalEvent) else (),
    )
    return speech_pb2.StreamingRecognizeResponse(result=result)


def _speech_event(event: SpeechStarted | SpeechEnded) -> speech_pb2.StreamingRecognizeResponse:
    kinds = speech_pb2.SpeechEvent
    if isinstance(event, SpeechStarted):
        told = kinds(type=kinds.TYPE_SPEECH_STARTED, time=event.start)
    else:
        told = kinds(type=kinds.TYPE_SPEECH_ENDED, time=event.end)
    return speech_pb2.StreamingRecognizeResponse(speech_event=told)

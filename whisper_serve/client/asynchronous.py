"""The client for programs with an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import grpc
import grpc.aio

from whisper_serve.client.errors import read_error
from whisper_serve.client.requests import (
    OPTIONS,
    WHOLE_BYTES,
    Audio,
    chunk_requests,
    credentials_of,
    metadata_of,
    opened,
    read_whole,
)
from whisper_serve.client.uploads import Uploads
from whisper_serve.speech_v1 import speech_pb2, speech_pb2_grpc


class AsyncSpeechClient:
    """As `SpeechClient`; made and used in one event loop. Cancelling whoever waits for a call ends its work."""

    def __init__(
        self,
        target: str,
        *,
        key: str | None = None,
        tls: bool | grpc.ChannelCredentials = False,
        timeout: float | None = 600.0,
    ) -> None:
        """`target` is host:port, `key` an API key, `timeout` the seconds that a call may take."""
        credentials = credentials_of(tls)
        self._channel = (
            grpc.aio.secure_channel(target, credentials, OPTIONS)
            if credentials
            else grpc.aio.insecure_channel(target, OPTIONS)
        )
        self._uploads = Uploads(target, credentials)
        self._stub: Any = speech_pb2_grpc.SpeechServiceStub(self._channel)
        self._with = {"timeout": timeout, "metadata": metadata_of(key)}

    async def __aenter__(self) -> AsyncSpeechClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls that run end."""
        self._uploads.close()
        await self._channel.close(None)

    async def transcribe(
        self, audio: Audio, options: speech_pb2.TranscriptionOptions | None = None
    ) -> speech_pb2.Transcription:
        """The transcript of a file of any size; a large one is read and sent piece by piece."""
        with opened(audio) as file, _told():
            start = await asyncio.to_thread(file.read, WHOLE_BYTES + 1)
            if len(start) <= WHOLE_BYTES:
                request = speech_pb2.TranscribeRequest(options=options, audio=start)
                answer = await self._stub.Transcribe(request, **self._with)
            else:
                answer = await self._uploads.send(chunk_requests(start, file, options), **self._with)
            transcription: speech_pb2.Transcription = answer.transcription
            return transcription

    async def stream(
        self, audio: Audio, options: speech_pb2.TranscriptionOptions | None = None
    ) -> AsyncIterator[speech_pb2.Segment | speech_pb2.Transcription]:
        """Each segment of a file of at most 32 MiB as soon as it is done, and last the whole transcript.

        Closing the iterator early ends the work.
        """
        content = await asyncio.to_thread(read_whole, audio)
        with _told():
            request = speech_pb2.TranscribeStreamRequest(options=options, audio=content)
            call = self._stub.TranscribeStream(request, **self._with)
            try:
                async for response in call:
                    yield getattr(response, response.WhichOneof("event"))
            finally:
                call.cancel()

    async def detect_language(self, audio: Audio, *, model: str = "") -> speech_pb2.DetectLanguageResponse:
        """Which language is spoken in a file of at most 32 MiB."""
        content = await asyncio.to_thread(read_whole, audio)
        with _told():
            request = speech_pb2.DetectLanguageRequest(model=model, audio=content)
            answer: speech_pb2.DetectLanguageResponse = await self._stub.DetectLanguage(request, **self._with)
            return answer

    async def list_models(self) -> list[speech_pb2.Model]:
        """All names that requests may call the model."""
        with _told():
            return list((await self._stub.ListModels(speech_pb2.ListModelsRequest(), **self._with)).models)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise read_error(error) from error

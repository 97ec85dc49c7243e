"""The client for programs without an event loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import grpc

from whisper_serve.client.errors import read_error
from whisper_serve.client.requests import (
    WHOLE_BYTES,
    Audio,
    channel_to,
    chunk_requests,
    credentials_of,
    metadata_of,
    opened,
    read_whole,
)
from whisper_serve.speech_v1 import speech_pb2, speech_pb2_grpc


class SpeechClient:
    """Calls of the service at one address; safe to use from several threads, and a context manager that closes it.

    Every call raises `SpeechClientError`, and OSError where a file cannot be read. Nothing is tried again here: what
    says when that may help has `retry_after`.
    """

    def __init__(
        self,
        target: str,
        *,
        key: str | None = None,
        tls: bool | grpc.ChannelCredentials = False,
        timeout: float | None = 600.0,
    ) -> None:
        """`target` is host:port, `key` an API key, `timeout` the seconds that a call may take."""
        self._channel = channel_to(target, credentials_of(tls))
        self._stub: Any = speech_pb2_grpc.SpeechServiceStub(self._channel)
        self._with = {"timeout": timeout, "metadata": metadata_of(key)}

    def __enter__(self) -> SpeechClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls that run end."""
        self._channel.close()

    def transcribe(
        self, audio: Audio, options: speech_pb2.TranscriptionOptions | None = None
    ) -> speech_pb2.Transcription:
        """The transcript of a file of any size; a large one is read and sent piece by piece."""
        with opened(audio) as file, _told():
            start = file.read(WHOLE_BYTES + 1)
            if len(start) <= WHOLE_BYTES:
                request = speech_pb2.TranscribeRequest(options=options, audio=start)
                answer = self._stub.Transcribe(request, **self._with)
            else:
                answer = self._stub.TranscribeChunks(chunk_requests(start, file, options), **self._with)
            transcription: speech_pb2.Transcription = answer.transcription
            return transcription

    def stream(
        self, audio: Audio, options: speech_pb2.TranscriptionOptions | None = None
    ) -> Iterator[speech_pb2.Segment | speech_pb2.Transcription]:
        """Each segment of a file of at most 32 MiB as soon as it is done, and last the whole transcript.

        Leaving the loop early ends the work.
        """
        request = speech_pb2.TranscribeStreamRequest(options=options, audio=read_whole(audio))
        with _told():
            call = self._stub.TranscribeStream(request, **self._with)
            try:
                for response in call:
                    yield getattr(response, response.WhichOneof("event"))
            finally:
                call.cancel()

    def detect_language(self, audio: Audio, *, model: str = "") -> speech_pb2.DetectLanguageResponse:
        """Which language is spoken in a file of at most 32 MiB."""
        request = speech_pb2.DetectLanguageRequest(model=model, audio=read_whole(audio))
        with _told():
            answer: speech_pb2.DetectLanguageResponse = self._stub.DetectLanguage(request, **self._with)
            return answer

    def list_models(self) -> list[speech_pb2.Model]:
        """All names that requests may call the model."""
        with _told():
            return list(self._stub.ListModels(speech_pb2.ListModelsRequest(), **self._with).models)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise read_error(error) from error

"""The project's gRPC service, by its own client. Under gevent `grpc.experimental.gevent` has to be set up before."""

from __future__ import annotations

import time

from loadtest.answers import Answer, Refused, RequestError
from loadtest.clips import Clip
from whisper_serve.client import SpeechClient
from whisper_serve.client.errors import Overloaded, SpeechClientError
from whisper_serve.speech_v1 import speech_pb2


class SpeechGrpcTransport:
    """`target` is host:port of the gateway's gRPC service."""

    def __init__(self, target: str, *, key: str | None = None, timeout: float = 600.0) -> None:
        self._client = SpeechClient(target, key=key, timeout=timeout)

    def transcribe(self, clip: Clip) -> Answer:
        """See `Transport`."""
        started = time.perf_counter()
        options = speech_pb2.TranscriptionOptions(language=clip.language)
        try:
            text = self._client.transcribe(clip.content, options).text
        except Overloaded as error:
            # Without a time to come back at, a message is too large: that is no refusal for want of room.
            raise (Refused(str(error)) if error.retry_after else _failed(error)) from error
        except SpeechClientError as error:
            raise _failed(error) from error
        return Answer(text, time.perf_counter() - started)

    def close(self) -> None:
        """See `Transport`."""
        self._client.close()


def _failed(error: SpeechClientError) -> RequestError:
    return RequestError(f"gRPC {error.code.name}", str(error))

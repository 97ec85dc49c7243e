"""A client of the gRPC service, sync and async: needs only grpcio and protobuf (`pip install 'whisper-serve[client]'`).

>>> from whisper_serve.client import SpeechClient, TranscriptionOptions
>>> with SpeechClient("127.0.0.1:9000") as client:                                        # doctest: +SKIP
...     print(client.transcribe("talk.mp3", TranscriptionOptions(language="en")).text)
"""

from __future__ import annotations

from whisper_serve.client.asynchronous import AsyncSpeechClient
from whisper_serve.client.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    ServerFailed,
    SpeechClientError,
    Unauthenticated,
    Unavailable,
)
from whisper_serve.client.synchronous import SpeechClient
from whisper_serve.speech_v1.speech_pb2 import (
    DetectLanguageResponse,
    Model,
    RenderOptions,
    Segment,
    Transcription,
    TranscriptionOptions,
    VadOptions,
)

__all__ = [
    "AsyncSpeechClient",
    "Cancelled",
    "DeadlineExceeded",
    "DetectLanguageResponse",
    "InvalidRequest",
    "Model",
    "ModelNotFound",
    "Overloaded",
    "RenderOptions",
    "Segment",
    "ServerFailed",
    "SpeechClient",
    "SpeechClientError",
    "Transcription",
    "TranscriptionOptions",
    "Unauthenticated",
    "Unavailable",
    "VadOptions",
]

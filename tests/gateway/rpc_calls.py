"""Calls of the gRPC service for tests: a stub, and how calls end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from whisper_serve.speech_v1 import speech_pb2, speech_pb2_grpc


@contextmanager
def stub_of(target: str) -> Iterator[Any]:
    with grpc.insecure_channel(target) as channel:
        yield speech_pb2_grpc.SpeechServiceStub(channel)


def chunks(*pieces: bytes, **options: Any) -> Iterator[speech_pb2.TranscribeChunksRequest]:
    yield speech_pb2.TranscribeChunksRequest(options=speech_pb2.TranscriptionOptions(**options))
    yield from (speech_pb2.TranscribeChunksRequest(chunk=piece) for piece in pieces)


def failure(call: Callable[[], Any]) -> Any:
    """The error that a call ends with; a stream is read to its end."""
    with pytest.raises(grpc.RpcError) as caught:
        _read(call())
    return caught.value


def _read(answer: Any) -> None:
    if isinstance(answer, grpc.RpcContext):
        list(answer)  # type: ignore[call-overload]


def detail(error: Any, kind: Any) -> Any:
    """The detail of that kind, None if there is none."""
    status: Status = rpc_status.from_call(error)
    message: Message = kind()
    return next((message for each in status.details if each.Unpack(message)), None)

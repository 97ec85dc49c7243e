"""Requests from what callers give: how audio is opened, cut into chunks and sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import grpc

from whisper_serve.speech_v1 import speech_pb2

Audio: TypeAlias = "bytes | str | os.PathLike[str] | BinaryIO"
"""A file's bytes, its path, or it itself opened for reading bytes."""

WHOLE_BYTES: Final = 4 * 1024**2
"""Files up to this size go in one message."""
CHUNK_BYTES: Final = 256 * 1024
OPTIONS: Final = (
    # The transcript of hours with its words and tokens is larger than what gRPC takes by default.
    ("grpc.max_receive_message_length", -1),
    # A server that is gone without a word is noticed, also while it works and says nothing.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


def channel_to(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """A connection, which is made with the first call; without ``credentials`` it is not encrypted."""
    if credentials is None:
        return grpc.insecure_channel(target, OPTIONS)
    return grpc.secure_channel(target, credentials, OPTIONS)


def metadata_of(key: str | None) -> tuple[tuple[str, str], ...]:
    """What goes with each call."""
    return (("authorization", f"Bearer {key}"),) if key else ()


def credentials_of(tls: bool | grpc.ChannelCredentials) -> grpc.ChannelCredentials | None:
    """None for a plain connection; True stands for the usual authorities."""
    if isinstance(tls, bool):
        return grpc.ssl_channel_credentials() if tls else None
    return tls


@contextmanager
def opened(audio: Audio) -> Iterator[BinaryIO]:
    """The audio as an open file; one that came open stays so."""
    if isinstance(audio, bytes):
        yield BytesIO(audio)
    elif isinstance(audio, (str, os.PathLike)):
        with Path(audio).open("rb") as file:
            yield file
    else:
        yield audio


def read_whole(audio: Audio) -> bytes:
    """All of it."""
    with opened(audio) as file:
        return file.read()


def chunk_requests(
    first: bytes, rest: BinaryIO, options: speech_pb2.TranscriptionOptions | None
) -> Iterator[speech_pb2.TranscribeChunksRequest]:
    """The options, what was read already, and what is left."""
    yield speech_pb2.TranscribeChunksRequest(options=options or speech_pb2.TranscriptionOptions())
    for start in range(0, len(first), CHUNK_BYTES):
        yield speech_pb2.TranscribeChunksRequest(chunk=first[start : start + CHUNK_BYTES])
    while chunk := rest.read(CHUNK_BYTES):
        yield speech_pb2.TranscribeChunksRequest(chunk=chunk)

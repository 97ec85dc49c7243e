"""Files that are sent in pieces from an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import grpc

from whisper_serve.client.requests import channel_to
from whisper_serve.speech_v1 import speech_pb2, speech_pb2_grpc


class Uploads:
    """Sends them over a connection of its own.

    gRPC's asyncio client is not used: when a server refuses a file that is still being sent, it may tell an internal
    error of its own in place of the server's. Its other client reads and sends the pieces in a thread.
    """

    def __init__(self, target: str, credentials: grpc.ChannelCredentials | None) -> None:
        self._channel = channel_to(target, credentials)
        self._stub: Any = speech_pb2_grpc.SpeechServiceStub(self._channel)

    async def send(self, requests: Iterator[speech_pb2.TranscribeChunksRequest], **how: Any) -> Any:
        """The answer; a task that is cancelled meanwhile takes the call with it.

        Raises:
            grpc.RpcError: the call failed.
        """
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def tell(_call: object) -> None:
            with suppress(RuntimeError):  # Nobody waits any more: the loop is closed.
                loop.call_soon_threadsafe(done.set)

        call = self._stub.TranscribeChunks.future(requests, **how)
        call.add_done_callback(tell)
        try:
            await done.wait()
        finally:
            call.cancel()
        return call.result()

    def close(self) -> None:
        """Close the connection; calls that run end."""
        self._channel.close()

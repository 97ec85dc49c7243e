"""A file that a client streams: its options first, then its bytes, spooled as those of a form are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from whisper_serve.gateway.failures import BadUpload, UploadTooLarge
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.gateway.spool import Spool, SpoolSpace, paced
from whisper_serve.speech_v1 import speech_pb2

Requests = AsyncIterator[speech_pb2.TranscribeChunksRequest]


class Chunks:
    """What came first, and the file once all of it was received."""

    def __init__(
        self, options: speech_pb2.TranscriptionOptions, rest: Requests, settings: GatewaySettings, space: SpoolSpace
    ) -> None:
        self.options = options
        self._rest = rest
        self._most = settings.max_upload_bytes
        self._spool = Spool(settings.spool_memory_bytes, space)

    @property
    def file(self) -> BinaryIO:
        return self._spool.file

    @property
    def size(self) -> int:
        return self._spool.size

    async def receive(self) -> None:
        """Take all chunks; then `file` is at its start.

        Raises:
            BadUpload: something else came, or nothing (then `UploadTooLarge`: too much).
            UploadTooSlow: it did not come.
            StorageFailed: the disk takes no more of it.
        """
        async for request in self._rest:
            if request.WhichOneof("payload") != "chunk":
                raise BadUpload("all messages after the first must hold a chunk of the file", param="file")
            if self.size + len(request.chunk) > self._most:
                raise UploadTooLarge(f"the file is larger than the limit of {self._most:,} bytes", param="file")
            await self._spool.write(request.chunk)
        if not self.size:
            raise BadUpload("the file is missing: send its bytes as chunks after the options", param="file")
        self._spool.rewind()

    def close(self) -> None:
        self._spool.close()


@asynccontextmanager
async def open_chunks(requests: Requests, settings: GatewaySettings, space: SpoolSpace) -> AsyncIterator[Chunks]:
    """The options of a stream, whose file is still to be received; leaving removes what is on disk.

    Raises:
        BadUpload: the first message holds no options.
        UploadTooSlow: it did not come.
    """
    coming = paced(requests, lambda request: len(request.chunk), settings.upload_idle_seconds)
    first = await anext(coming, None)
    if first is None or first.WhichOneof("payload") != "options":
        raise BadUpload("the first message must hold the options")
    chunks = Chunks(first.options, coming, settings, space)
    try:
        yield chunks
    finally:
        chunks.close()

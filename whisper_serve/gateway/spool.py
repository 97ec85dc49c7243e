"""A file that comes piece by piece: in memory while it is small, then on disk, and only as slowly as may be."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import BinaryIO, Final, TypeVar

from whisper_serve.gateway.failures import StorageFailed, UploadTooSlow
from whisper_serve.gateway.timing import within

logger = logging.getLogger(__name__)

T = TypeVar("T")
Spooled = Callable[[int], None]
"""Told, in any thread, how many bytes more (or fewer) are on disk."""

LEAST_RATE: Final = 1024.0
"""Bytes a second that a body has to bring on average, so that a trickle does not last for ever."""


class Spool:
    """Bytes in memory up to `memory_bytes`, then in a file without a name, which is gone once it is closed."""

    def __init__(self, memory_bytes: int, spooled: Spooled = lambda change: None) -> None:
        self.file: BinaryIO = BytesIO()
        self.size = 0
        self._memory_bytes = memory_bytes
        self._spooled = spooled

    async def write(self, data: bytes) -> None:
        """Append, outside of the event loop where that may block.

        Raises:
            StorageFailed: the disk takes no more.
        """
        if self._on_disk or self.size + len(data) > self._memory_bytes:
            await self._finish_even_if_cancelled(data)
        else:
            self._write(data)

    def rewind(self) -> None:
        """Go to the first byte, to read what was written.

        Raises:
            StorageFailed: the disk did not take the last of it.
        """
        with _storing():
            self.file.seek(0)

    def close(self) -> None:
        if self._on_disk and not self.file.closed:
            self._spooled(-self.size)
        with suppress(OSError):  # What a full disk did not take is written once more, in vain; the file is closed.
            self.file.close()

    @property
    def _on_disk(self) -> bool:
        return not isinstance(self.file, BytesIO)

    def _write(self, data: bytes) -> None:
        with _storing():
            if not self._on_disk and self.size + len(data) > self._memory_bytes:
                self._move_to_disk()
            self.file.write(data)
        self.size += len(data)
        if self._on_disk:
            self._spooled(len(data))

    def _move_to_disk(self) -> None:
        held = self.file
        self.file = tempfile.TemporaryFile("w+b")  # noqa: SIM115  (closed by close)
        self._spooled(self.size)
        held.seek(0)
        self.file.write(held.read())

    async def _finish_even_if_cancelled(self, data: bytes) -> None:
        """Write in a thread, and stay until it is done: the file is closed behind it."""
        writing = asyncio.ensure_future(asyncio.to_thread(self._write, data))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise


@contextmanager
def _storing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        logger.error("an upload cannot be stored in %s: %s", tempfile.tempdir, error)
        raise StorageFailed from error


async def paced(pieces: AsyncIterator[T], size: Callable[[T], int], idle_seconds: float) -> AsyncIterator[T]:
    """The pieces as they come.

    Raises:
        UploadTooSlow: none came for ``idle_seconds``, or too little.
    """
    received, started = 0, time.monotonic()
    coming = pieces.__aiter__()
    while True:
        left = started + idle_seconds + received / LEAST_RATE - time.monotonic()
        try:
            piece = await within(min(left, idle_seconds), anext(coming))
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise UploadTooSlow("the body came too slowly or not at all") from error
        received += size(piece)
        yield piece

"""A file that comes piece by piece: in memory while it is small, then on disk, and only as slowly as may be."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import BinaryIO, Final, TypeVar

from whisper_serve.gateway.failures import StorageFailed, UploadTooSlow
from whisper_serve.gateway.timing import within

logger = logging.getLogger(__name__)

T = TypeVar("T")
LEAST_RATE: Final = 1024.0
"""Bytes a second that a body has to bring on average, so that a trickle does not last for ever."""


class SpoolSpace:
    """The room on disk that all uploads share. Of any thread."""

    def __init__(self, limit: int | None = None) -> None:
        """``limit``: most bytes in use at once; None: as many as the disk has."""
        self.used = 0
        self._limit = limit
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes that there may be, in use or not."""
        total = shutil.disk_usage(tempfile.gettempdir()).total
        return total if self._limit is None else min(total, self._limit)

    @property
    def free(self) -> int:
        """Bytes that may still come."""
        free = shutil.disk_usage(tempfile.gettempdir()).free
        return free if self._limit is None else max(0, min(free, self._limit - self.used))

    def take(self, size: int) -> None:
        """So many bytes more are to be written. Raises StorageFailed where the limit is in the way."""
        with self._lock:
            if self._limit is not None and self.used + size > self._limit:
                logger.error("an upload cannot be stored: uploads may take %s bytes of the disk", f"{self._limit:,}")
                raise StorageFailed
            self.used += size

    def give_back(self, size: int) -> None:
        """So many bytes are not there any more."""
        with self._lock:
            self.used -= size


class Spool:
    """Bytes in memory up to `memory_bytes`, then in a file without a name, which is gone once it is closed."""

    def __init__(self, memory_bytes: int, space: SpoolSpace) -> None:
        self.file: BinaryIO = BytesIO()
        self.size = 0
        self._memory_bytes = memory_bytes
        self._space = space
        self._taken = 0
        """Bytes of the space."""

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
        self._space.give_back(self._taken)
        self._taken = 0
        with suppress(OSError):  # What a full disk did not take is written once more, in vain; the file is closed.
            self.file.close()

    @property
    def _on_disk(self) -> bool:
        return not isinstance(self.file, BytesIO)

    def _write(self, data: bytes) -> None:
        with _storing():
            if self._on_disk:
                self._take(len(data))
            elif self.size + len(data) > self._memory_bytes:
                self._take(self.size + len(data))
                self._move_to_disk()
            self.file.write(data)
        self.size += len(data)

    def _take(self, size: int) -> None:
        self._space.take(size)
        self._taken += size

    def _move_to_disk(self) -> None:
        held = self.file
        self.file = tempfile.TemporaryFile("w+b")  # noqa: SIM115  (closed by close)
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

"""The bytes of a live stream to samples: raw ones at once, a container's in a thread of the stream's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import BinaryIO, Protocol, cast

from whisper_serve.gateway.changes import Changes
from whisper_serve.gateway.live.options import PCM, LiveOptions
from whisper_serve.speech import LIVE_BLOCK, Audio, AudioStream, PcmDecoder, Pipe

Take = Callable[[Audio], Awaitable[None]]
"""Is given the samples in order; takes its time when there is no room for them."""


class Intake(Protocol):
    """What decodes one stream."""

    async def write(self, data: bytes) -> None:
        """Take bytes, as soon as there is room for them.

        Raises:
            AudioDecodeError: nothing can be decoded.
        """

    async def end(self) -> None:
        """No more bytes come; returns when all samples were given on. Raises as `write` does."""

    async def close(self) -> None:
        """Stop, whatever is left; a `take` that waits must have been told to return."""


def open_intake(options: LiveOptions, take: Take) -> Intake:
    """What decodes a stream of that encoding."""
    return PcmIntake(options.sample_rate, options.channels, take) if options.encoding == PCM else ContainerIntake(take)


class PcmIntake:
    """Raw samples."""

    def __init__(self, rate: int, channels: int, take: Take) -> None:
        self._decoder = PcmDecoder(rate, channels)
        self._slice = 2 * rate * channels
        """Bytes of a second: a message of minutes is not taken as one."""
        self._take = take

    async def write(self, data: bytes) -> None:
        for at in range(0, len(data), self._slice):
            await self._take(self._decoder.decode(data[at : at + self._slice]))

    async def end(self) -> None:
        await self._take(self._decoder.flush())

    async def close(self) -> None:
        """Nothing is held."""


class ContainerIntake:
    """A container, which FFmpeg reads from a pipe."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._pipe = Pipe(lambda: self._loop.call_soon_threadsafe(self._changes.tell))
        self._changes = Changes()
        self._closed = False
        self._decoded: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="live-decode", daemon=True)
        self._thread.start()

    async def write(self, data: bytes) -> None:
        await self._changes.until(lambda: self._pipe.room or self._decoded.done())
        if self._decoded.done():
            self._decoded.result()  # Raises what ended it; what comes behind the end of the audio is passed over.
            return
        self._pipe.write(data)

    async def end(self) -> None:
        self._pipe.end()
        await asyncio.shield(self._decoded)

    async def close(self) -> None:
        self._closed = True
        self._pipe.close()
        if not self._decoded.done():
            await asyncio.wait([self._decoded])
        if not self._decoded.cancelled():
            self._decoded.exception()

    def _run(self) -> None:
        """In the thread: decode to the end."""
        error: BaseException | None = None
        try:
            source = cast(BinaryIO, self._pipe)
            with AudioStream(source, block_samples=LIVE_BLOCK) as stream:
                for block in stream:
                    if self._closed:
                        break
                    asyncio.run_coroutine_threadsafe(self._give(block), self._loop).result()
        except BaseException as caught:
            error = caught
        self._loop.call_soon_threadsafe(self._end, error)

    async def _give(self, block: Audio) -> None:
        if not self._closed:
            await self._take(block)

    def _end(self, error: BaseException | None) -> None:
        if self._decoded.done():
            return
        if error is None or self._closed:
            self._decoded.set_result(None)
        else:
            self._decoded.set_exception(error)
        self._changes.tell()

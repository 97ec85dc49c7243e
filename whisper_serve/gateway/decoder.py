"""A file's windows, decoded and cut in a thread, one step at a time as they are asked for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import BinaryIO, TypeVar

from whisper_serve.gateway.tracing import past_step
from whisper_serve.speech import SHORTEST_FILE_SECONDS, Audio, AudioStream, VadOptions, Window, cut_windows, open_audio

Took = Callable[[float, float, float], None]
"""Called with the seconds of audio that a step decoded, and those of time that decoding and finding speech took."""

T = TypeVar("T")


class _Closed(Exception):
    """Nobody wants the rest."""


class Decoder:
    """Reads `source` with threads of `pool`: between two steps no thread is held, and nothing is decoded ahead.

    A step ends within a second of audio of being closed. `source` stays open if it was given open.
    """

    def __init__(
        self, pool: Executor, source: BinaryIO | Path, vad: VadOptions | None, *, max_seconds: float, took: Took
    ) -> None:
        self._pool = pool
        self._source = source
        self._vad = vad
        self._max_seconds = max_seconds
        self._took = took
        self._closed = threading.Event()
        self._step: Future[object] | None = None
        self._stream: AudioStream | None = None
        self._windows: Iterator[Window] = iter(())
        self._decoding = 0.0
        self._stepping = 0.0
        """Seconds that decoding, and all of the steps, have taken."""

    @property
    def seconds(self) -> float:
        """Decoded so far."""
        return self._stream.seconds if self._stream else 0.0

    @property
    def warnings(self) -> list[str]:
        """What was wrong with a file that was decoded all the same; whole after the last window."""
        return list(self._stream.warnings) if self._stream else []

    async def open(self) -> float:
        """Begin: the seconds that the file announces, 0 where it does not.

        Raises what `speech.open_audio` does.
        """
        return await self._run(self._open)

    async def next(self) -> Window | None:
        """The next window, None after the last. Raises what iterating over a `speech.AudioStream` does."""
        seconds, decoding, stepping = self.seconds, self._decoding, self._stepping
        began = time.time_ns()
        window = await self._run(self._next)
        decoding = self._decoding - decoding
        searching = self._stepping - stepping - decoding
        self._took(self.seconds - seconds, decoding, searching)
        # They took turns; a trace shows one after the other.
        decoded = past_step("decode", began, decoding, **{"whisper.audio_seconds": self.seconds - seconds})
        past_step("vad", decoded, searching)
        return window

    async def close(self) -> None:
        """Stop decoding, let go of the file once the step that runs has ended, and wait for that."""
        self._closed.set()
        if step := self._step:
            # By the step, since the waiting may be cancelled.
            step.add_done_callback(self._let_go)
            if not step.done():
                await asyncio.gather(asyncio.wrap_future(step), return_exceptions=True)

    def _let_go(self, _: Future[object]) -> None:
        if self._stream:
            self._stream.close()

    async def _run(self, step: Callable[[], T]) -> T:
        future = self._pool.submit(step)
        self._step = future  # type: ignore[assignment]  # Future is invariant, but only waited for here.
        return await asyncio.wrap_future(future)

    def _open(self) -> float:
        self._stream = open_audio(self._source, min_seconds=SHORTEST_FILE_SECONDS, max_seconds=self._max_seconds)
        self._windows = cut_windows(self._blocks(self._stream), self._vad)
        return self._stream.announced_seconds

    def _next(self) -> Window | None:
        started = time.perf_counter()
        window = next(self._windows, None)
        self._stepping += time.perf_counter() - started
        return window

    def _blocks(self, stream: AudioStream) -> Iterator[Audio]:
        blocks = iter(stream)
        while True:
            started = time.perf_counter()
            block = next(blocks, None)
            self._decoding += time.perf_counter() - started
            if block is None:
                return
            if self._closed.is_set():
                raise _Closed
            yield block

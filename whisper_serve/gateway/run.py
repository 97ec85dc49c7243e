"""One file on its way through the gateway: decoded, sent window by window, and given out in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Protocol, TypeVar

from whisper_serve.gateway.admission import Ticket
from whisper_serve.gateway.context import Context
from whisper_serve.gateway.decoder import Decoder
from whisper_serve.gateway.failures import DeadlineExceeded
from whisper_serve.gateway.scheduler import Lane
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.gateway.timing import within
from whisper_serve.gateway.work import Part, Work
from whisper_serve.speech import Joiner, Transcript, Window, WindowTranscript, merge, without_phantoms
from whisper_serve.wire import WindowOptions, pack_window

T = TypeVar("T")


class Sender(Protocol):
    """What has windows computed: see `backend.Backend.send`."""

    def send(self, message: bytes, *, span: tuple[float, float], deadline: float) -> Awaitable[WindowTranscript]:
        """The transcript of a window message."""


class Run:
    """Async iterator over the parts of a file, in its order, each as soon as it and all before it are done.

    A part that overlaps the next one is final, and comes, when that one is done too: see `speech.joining`.

    No more than twice as many windows are held as are in work at once; further ones are not even decoded. Iterating
    raises what decoding and `Backend.send` raise, and DeadlineExceeded. After its end `duration` (seconds) and
    `warnings` are known.
    """

    def __init__(
        self,
        work: Work,
        decoder: Decoder,
        ticket: Ticket,
        lane: Lane,
        sender: Sender,
        packers: Executor,
        settings: GatewaySettings,
        deadline: float,
    ) -> None:
        """`deadline` is a time of the event loop."""
        self.duration = 0.0
        self.warnings: list[str] = []
        self._work, self._decoder, self._ticket = work, decoder, ticket
        self._lane, self._sender, self._packers = lane, sender, packers
        self._timeout = settings.request_timeout
        self._deadline = deadline
        self._context = Context(
            replace(work.options, spoken_to_end=work.vad is not None),
            sequential=work.condition_on_previous_text,
            language_per_window=work.language_per_window,
        )
        self._joiner = Joiner(words=work.options.word_timestamps, logprobs=work.options.logprobs)
        self._room = asyncio.Semaphore(2 * settings.windows_per_request)
        self._coming: asyncio.Queue[asyncio.Task[Part] | None] = asyncio.Queue()
        self._answering: set[asyncio.Task[Part]] = set()
        self._heard: deque[Part] = deque()
        """Parts that are not final."""
        self._final: deque[Part] = deque()
        """Parts that are, but were not given out yet."""
        self._parts: list[Part] = []
        self._cutting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to decode and to send."""
        self._cutting = asyncio.create_task(self._cut())

    async def close(self) -> None:
        """Stop what is unfinished at once."""
        tasks = [task for task in (self._cutting, *self._answering) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __aiter__(self) -> Run:
        return self

    async def __anext__(self) -> Part:
        while not self._final:
            await self._hear()
        part = self._final.popleft()
        self._parts.append(part)
        return part

    async def _hear(self) -> None:
        """Wait for the next part, and see which ones are final with it; raises StopAsyncIteration after the last."""
        answering = await self._in_time(self._coming.get())
        if answering is None:
            self._coming.put_nowait(None)  # Whoever asks again gets the same answer.
            assert self._cutting is not None
            await self._cutting
            raise StopAsyncIteration
        part = await self._in_time(answering)
        self._heard.append(part)
        for _, window in self._joiner.add(part.start, part.end, part.overlap_after, part.window):
            self._final.append(replace(self._heard.popleft(), window=window))

    def transcript(self) -> Transcript:
        """All parts given out so far as one."""
        return merge(
            [(part.start, part.window) for part in self._parts],
            task=self._work.options.task,
            duration=self.duration,
            language=self._work.options.language,
            language_per_window=self._work.language_per_window,
            warnings=self.warnings,
        )

    async def detect_language(self, window: Window) -> WindowTranscript:
        """Have only the language of a window found."""
        self._ticket.cut(window.duration)
        options = replace(self._work.options, language=None, prompt=None, detect_only=True)
        return await self._in_time(self._send(window, options))

    async def _in_time(self, coming: Awaitable[T]) -> T:
        """Raises DeadlineExceeded."""
        left = self._deadline - asyncio.get_running_loop().time()
        try:
            return await within(left, coming)
        except TimeoutError as error:
            raise DeadlineExceeded(self._timeout) from error

    async def _cut(self) -> None:
        """Decode window after window, as long as there is room for them."""
        try:
            await self._room.acquire()
            while window := await self._next():
                answering = asyncio.create_task(self._answer(window))
                self._answering.add(answering)
                answering.add_done_callback(self._answered)
                self._coming.put_nowait(answering)
                del window, answering
                await self._room.acquire()
            self.duration = round(self._decoder.seconds, 2)
            self.warnings = self._decoder.warnings
        finally:
            self._coming.put_nowait(None)

    async def _next(self) -> Window | None:
        before = self._decoder.seconds
        window = await self._decoder.next()
        self._ticket.decoded(self._decoder.seconds - before, end=window is None)
        if window:
            self._ticket.cut(window.duration)
        return window

    def _answered(self, answering: asyncio.Task[Part]) -> None:
        self._answering.discard(answering)
        self._room.release()
        if not answering.cancelled():
            answering.exception()  # Seen: an earlier window's may be the one that is told.

    async def _answer(self, window: Window) -> Part:
        options = await self._context.options_for(window)
        heard = await self._send(window, options)
        transcript = without_phantoms(heard, window.duration, searched=self._work.vad is not None)
        self._context.learn(window, transcript)
        return Part(window.index, window.start, window.end, transcript, window.overlap_after)

    async def _send(self, window: Window, options: WindowOptions) -> WindowTranscript:
        """Have a window computed when it is its turn."""
        seconds, span = window.duration, (window.start, window.end)
        async with self._lane.slot():
            loop = asyncio.get_running_loop()
            message = await loop.run_in_executor(self._packers, pack_window, window.audio, options)
            with self._ticket.computing(seconds):
                return await self._sender.send(message, span=span, deadline=self._deadline)

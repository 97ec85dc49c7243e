"""From an uploaded file to its parts: admission, decoding, sending, merging; what the HTTP routes talk to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from whisper_serve.gateway.admission import Admission, Ticket
from whisper_serve.gateway.backend import Backend
from whisper_serve.gateway.changes import Changes
from whisper_serve.gateway.decoder import Decoder
from whisper_serve.gateway.failures import Draining, NotReady
from whisper_serve.gateway.live.hub import LiveHub, Place
from whisper_serve.gateway.observer import Observer
from whisper_serve.gateway.run import Run
from whisper_serve.gateway.scheduler import Scheduler
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.gateway.work import Part, Work
from whisper_serve.speech import SHORTEST_FILE_SECONDS, AudioTooShort, SileroVad, VadOptions, Window, WindowTranscript

__all__ = ["Observer", "Part", "Pipeline", "Run", "Work"]


class Pipeline:
    """Takes files in and gives their parts out, for many requests at once."""

    def __init__(self, settings: GatewaySettings, backend: Backend, observer: Observer) -> None:
        self._settings, self._backend, self._observer = settings, backend, observer
        self._admission = Admission(settings, observer)
        self._scheduler = Scheduler(self._capacity, settings.windows_per_request)
        self._decoders = ThreadPoolExecutor(settings.decode_threads, "decode")
        self._packers = ThreadPoolExecutor(1, "pack")
        self._listeners = ThreadPoolExecutor(settings.decode_threads, "listen")
        self._live = LiveHub(
            settings,
            self._admission,
            self._scheduler,
            backend,
            observer,
            listeners=self._listeners,
            packers=self._packers,
            addresses=self._addresses,
        )
        self._draining = False
        self._active = 0
        self._changes = Changes()

    async def start(self) -> None:
        """Connect to the model servers; raises VadUnavailable where the speech detector is not installed."""
        await asyncio.get_running_loop().run_in_executor(self._decoders, SileroVad)
        self._backend.on_change(self._scheduler.wake)
        await self._backend.start()

    async def close(self) -> None:
        """Let go of connections and threads; requests that still run fail."""
        self._draining = True
        await self._backend.close()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._listeners.shutdown(wait=False, cancel_futures=True)
        self._packers.shutdown(wait=False, cancel_futures=True)

    async def drain(self, seconds: float) -> bool:
        """Take nothing new, and wait at most so long for what is in work: whether all of it finished."""
        self._draining = True
        return await self._changes.within(seconds, lambda: not self._active)

    @property
    def ready(self) -> bool:
        """Whether a file sent now would be worked on."""
        return self._backend.ready and not self._draining

    @asynccontextmanager
    async def open(self, work: Work) -> AsyncIterator[Run]:
        """Begin with a file; leaving the context stops what is unfinished.

        Raises:
            Overloaded: too much waits.
            Draining: the gateway is about to stop.
            NotReady: no model became ready in time.
            SpeechError: the file cannot be opened as audio.
        """
        async with self._admitted(work) as entry:
            entry.run.start()
            yield entry.run

    async def detect_language(self, work: Work) -> WindowTranscript:
        """The language of a file's first window with speech, or of its first 30 s if there is none.

        Raises what `open` and iterating over its run raise.
        """
        async with self._admitted(work) as entry:
            window = await entry.decoder.next() or await self._first_window(work)
            entry.ticket.decoded(0.0, end=True)
            return await entry.run.detect_language(window)

    @contextmanager
    def live(self, client: str) -> Iterator[Place]:
        """Room for a live stream, for as long as the context lasts.

        Raises:
            Overloaded: there are too many, or too much waits.
            Draining: the gateway is about to stop.
        """
        if self._draining:
            raise Draining()
        with self._live.admit(client) as place, self._counted():
            yield place

    @asynccontextmanager
    async def _admitted(self, work: Work) -> AsyncIterator[_Entry]:
        """A file that is admitted and opened, with a model ready for it; what was begun ends with the context."""
        if self._draining:
            raise Draining()
        deadline = asyncio.get_running_loop().time() + self._settings.request_timeout
        async with AsyncExitStack() as stack:
            ticket = stack.enter_context(self._admission.admit(work.client, work.size_bytes))
            stack.enter_context(self._counted())
            decoder = self._decoder(work, work.vad)
            stack.push_async_callback(decoder.close)
            ticket.expect(await decoder.open())
            await self._hold()
            run = Run(
                work, decoder, ticket, self._scheduler.lane(), self._backend, self._packers, self._settings, deadline
            )
            stack.push_async_callback(run.close)
            yield _Entry(run, decoder, ticket)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1
            self._changes.tell()

    async def _hold(self) -> None:
        """Wait for a model: one that is started by the first request needs a while."""
        longest = min(self._settings.hold_seconds, self._settings.request_timeout)
        if not await self._backend.wait_ready(longest):
            raise NotReady()

    async def _first_window(self, work: Work) -> Window:
        """The first 30 s of a file, speech or not."""
        async with AsyncExitStack() as stack:
            decoder = self._decoder(work, None)
            stack.push_async_callback(decoder.close)
            await decoder.open()
            window = await decoder.next()
        if window is None:
            raise AudioTooShort(decoder.seconds, SHORTEST_FILE_SECONDS)
        return window

    def _decoder(self, work: Work, vad: VadOptions | None) -> Decoder:
        longest = self._settings.max_audio_seconds
        return Decoder(self._decoders, work.source, vad, max_seconds=longest, took=self._observer.decoded)

    def _capacity(self) -> int:
        """Windows that may be in work at once; what is under way while no address answers waits for one."""
        return self._settings.windows_in_flight * self._addresses()

    def _addresses(self) -> int:
        return max(1, self._backend.ready_addresses)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file that was let in, and what works on it."""

    run: Run
    decoder: Decoder
    ticket: Ticket

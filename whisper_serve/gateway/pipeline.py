"""From an uploaded file to its parts: admission, decoding, sending, merging; what the routes talk to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from whisper_serve.cores import usable_cores
from whisper_serve.gateway.admission import Clients, Ticket
from whisper_serve.gateway.backend import Backend
from whisper_serve.gateway.changes import Changes
from whisper_serve.gateway.decoder import Decoder
from whisper_serve.gateway.failures import Draining
from whisper_serve.gateway.live.hub import LiveHub, Place
from whisper_serve.gateway.observer import Observer
from whisper_serve.gateway.run import Run
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.gateway.upstream import Upstream
from whisper_serve.gateway.work import Part, Work
from whisper_serve.speech import SHORTEST_FILE_SECONDS, AudioTooShort, SileroVad, VadOptions, Window, WindowTranscript

__all__ = ["Observer", "Part", "Pipeline", "Run", "Work"]


class Pipeline:
    """Takes files in and gives their parts out, for many requests at once.

    Each model has its own `Upstream`. Threads, and what one client may have in work, are shared.
    """

    def __init__(self, settings: GatewaySettings, backends: Mapping[str, Backend], observer: Observer) -> None:
        """`backends` are those of all models, by their own names."""
        self._settings, self._observer = settings, observer
        clients = Clients(settings)
        self._upstreams = {
            name: Upstream(name, settings, backend, clients, observer.of(name)) for name, backend in backends.items()
        }
        threads = settings.decode_threads or min(max(2, usable_cores()), 16)
        self._decoders = ThreadPoolExecutor(threads, "decode")
        self._packers = ThreadPoolExecutor(1, "pack")
        self._listeners = ThreadPoolExecutor(threads, "listen")
        self._live = LiveHub(settings, self._upstreams, observer, listeners=self._listeners, packers=self._packers)
        self._draining = False
        self._active = 0
        self._changes = Changes()

    async def start(self) -> None:
        """Connect to the model servers; raises VadUnavailable where the speech detector is not installed."""
        await asyncio.get_running_loop().run_in_executor(self._decoders, SileroVad)
        await asyncio.gather(*(upstream.start() for upstream in self._upstreams.values()))

    async def close(self) -> None:
        """Let go of connections and threads; requests that still run fail."""
        self._draining = True
        await asyncio.gather(*(upstream.backend.close() for upstream in self._upstreams.values()))
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._listeners.shutdown(wait=False, cancel_futures=True)
        self._packers.shutdown(wait=False, cancel_futures=True)

    async def drain(self, seconds: float) -> bool:
        """Take nothing new, and wait at most so long for what is in work: whether all of it finished."""
        self._draining = True
        return await self._changes.within(seconds, lambda: not self._active)

    @property
    def ready(self) -> bool:
        """Whether a file sent now would be worked on, for some model."""
        return any(self.models.values()) and not self._draining

    @property
    def models(self) -> Mapping[str, bool]:
        """Whether each model is ready, by its own name."""
        return {name: upstream.backend.ready for name, upstream in self._upstreams.items()}

    @asynccontextmanager
    async def open(self, work: Work) -> AsyncIterator[Run]:
        """Begin with a file; leaving the context stops what is unfinished.

        Raises:
            Overloaded: too much waits.
            Draining: the gateway is about to stop.
            NotReady: the model did not become ready in time.
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
    def live(self, client: str, model: str | None) -> Iterator[Place]:
        """Room for a live stream, for as long as the context lasts; `model` is None where it is not known yet.

        Raises:
            Overloaded: there are too many, or too much waits.
            Draining: the gateway is about to stop.
        """
        if self._draining:
            raise Draining()
        with self._live.admit(client, model) as place, self._counted():
            yield place

    @asynccontextmanager
    async def _admitted(self, work: Work) -> AsyncIterator[_Entry]:
        """A file that is admitted and opened, with a model ready for it; what was begun ends with the context."""
        if self._draining:
            raise Draining()
        upstream = self._upstreams[work.model]
        deadline = asyncio.get_running_loop().time() + self._settings.request_timeout
        async with AsyncExitStack() as stack:
            ticket = stack.enter_context(upstream.admission.admit(work.client, work.size_bytes))
            stack.enter_context(self._counted())
            upstream.observer.uploaded(work.size_bytes)
            decoder = self._decoder(work, work.vad)
            stack.push_async_callback(decoder.close)
            ticket.expect(await decoder.open())
            await upstream.hold()
            lane = upstream.scheduler.lane()
            run = Run(work, decoder, ticket, lane, upstream.backend, self._packers, self._settings, deadline)
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


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file that was let in, and what works on it."""

    run: Run
    decoder: Decoder
    ticket: Ticket

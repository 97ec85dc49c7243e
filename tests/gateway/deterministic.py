"""A pipeline that answers by rule, and the gateway with it on a free port: for tests of what is before the model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from tests.gateway.live.rig import Model
from whisper_serve.gateway.admission import Clients
from whisper_serve.gateway.app import create_app
from whisper_serve.gateway.backend import Backend
from whisper_serve.gateway.lifecycle import Lifecycle
from whisper_serve.gateway.live.hub import LiveHub, Place
from whisper_serve.gateway.metrics import Metrics
from whisper_serve.gateway.observer import Silent
from whisper_serve.gateway.server import DrainingServer, uvicorn_config
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.gateway.upstream import Upstream
from whisper_serve.gateway.work import Part, Work
from whisper_serve.speech import (
    AudioDecodeError,
    Dropped,
    Segment,
    TokenLogprob,
    Transcript,
    WindowTranscript,
    merge,
)

TEXTS = (" One window.", " And another.")


def window(text: str) -> WindowTranscript:
    logprob = TokenLogprob(text, tuple(text.encode()), -0.5)
    segment = Segment(0, 0, 0.0, 1.0, text, (1, 2), 0.0, -0.5, 1.0, 0.1, token_logprobs=(logprob,))
    dropped = Dropped(1.0, 2.0, "repetition", text.strip())
    return WindowTranscript("en", 0.9, (segment,), {"en": 0.9, "fr": 0.1}, (dropped,))


@dataclass
class DeterministicRun:
    work: Work
    gate: asyncio.Event
    fail_after: Exception | None
    given: list[Part] = field(default_factory=list)

    def __aiter__(self) -> DeterministicRun:
        return self

    async def __anext__(self) -> Part:
        number = len(self.given)
        if number == 1:
            await self.gate.wait()
            if self.fail_after:
                raise self.fail_after
        if number == len(TEXTS):
            raise StopAsyncIteration
        self.given.append(Part(number, float(number), number + 1.0, window(TEXTS[number])))
        return self.given[-1]

    def transcript(self) -> Transcript:
        parts = [(part.start, part.window) for part in self.given]
        return merge(parts, task=self.work.options.task, duration=1.5, language=self.work.options.language)


@dataclass
class Deterministic:
    """Each file is two windows; the second waits for ``gate``. A file that is not ``audio…`` cannot be decoded."""

    ready: bool = True
    refuse: Exception | None = None
    fail_after: Exception | None = None
    open_now: int = 0
    works: list[Work] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    settings: GatewaySettings = field(default_factory=lambda: GatewaySettings.read({}))
    down: set[str] = field(default_factory=set)
    """Models that are not ready, whatever `ready` says."""

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def models(self) -> dict[str, bool]:
        return {each.name: self.ready and each.name not in self.down for each in self.settings.served}

    @property
    def model(self) -> Model:
        """What hears live streams that name no model."""
        return next(iter(self.hearers.values()))

    @cached_property
    def hearers(self) -> dict[str, Model]:
        """What hears live streams, by model."""
        return {each.name: Model() for each in self.settings.served}

    @cached_property
    def hub(self) -> LiveHub:
        observer, threads, clients = Silent(), ThreadPoolExecutor(2), Clients(self.settings)
        upstreams = {
            name: Upstream(name, self.settings, cast(Backend, hearer), clients, observer)
            for name, hearer in self.hearers.items()
        }
        return LiveHub(self.settings, upstreams, observer, listeners=threads, packers=threads)

    def live(self, client: str, model: str | None) -> AbstractContextManager[Place]:
        if self.refuse:
            raise self.refuse
        return self.hub.admit(client, model)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def drain(self, seconds: float) -> None: ...

    @asynccontextmanager
    async def open(self, work: Work) -> AsyncIterator[DeterministicRun]:
        self._check(work)
        self.open_now += 1
        try:
            yield DeterministicRun(work, self.gate, self.fail_after)
        finally:
            self.open_now -= 1

    async def detect_language(self, work: Work) -> WindowTranscript:
        self._check(work)
        return window("")

    def _check(self, work: Work) -> None:
        self.works.append(work)
        assert not isinstance(work.source, Path)
        if self.refuse:
            raise self.refuse
        if not work.source.read(5) == b"audio":
            raise AudioDecodeError("the file holds no audio")


@dataclass
class Served:
    url: str
    grpc: str
    """Where the gRPC service listens; empty if it is off."""
    pipeline: Deterministic
    server: DrainingServer
    loop: asyncio.AbstractEventLoop

    def call(self, function: Any) -> None:
        self.loop.call_soon_threadsafe(function)


@contextmanager
def serve(**changes: Any) -> Iterator[Served]:
    """The gateway on a real port, in a thread."""
    settings = GatewaySettings.read({"port": 0, "grpc_port": 0, **changes})
    pipeline, lifecycle = Deterministic(settings=settings), Lifecycle()
    app = create_app(settings, pipeline, metrics=Metrics(), lifecycle=lifecycle)
    server = DrainingServer(uvicorn_config(app, settings), pipeline, lifecycle, settings.drain_seconds)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        assert server.loop is not None
        rpc = f"127.0.0.1:{app.state.rpc.port}" if app.state.rpc else ""
        yield Served(f"http://127.0.0.1:{port}", rpc, pipeline, server, server.loop)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()

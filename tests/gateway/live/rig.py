"""A live session with a clock of its own, a model that answers when it is told to, and speech that is loud."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.gateway.standin import settings_for_tests, until
from tests.speech.test_endpointing import Loud
from whisper_serve.gateway.admission import Admission, Clients
from whisper_serve.gateway.live.events import Event
from whisper_serve.gateway.live.gate import InterimGate
from whisper_serve.gateway.live.options import LiveOptions
from whisper_serve.gateway.live.resources import Limits, Resources
from whisper_serve.gateway.live.session import LiveSession
from whisper_serve.gateway.observer import Silent
from whisper_serve.gateway.scheduler import Scheduler
from whisper_serve.speech import SAMPLE_RATE, Dropped, Segment, Transcript, WindowTranscript
from whisper_serve.wire import WindowOptions, unpack_window

CHUNK = 0.1
LIMITS: dict[str, float] = {
    "idle_seconds": 30,
    "max_seconds": 3600,
    "buffer_seconds": 60,
    "interim_seconds": 1.0,
    "request_timeout": 30,
}


@dataclass(frozen=True, slots=True)
class Asked:
    seconds: float
    options: WindowOptions
    span: tuple[float, float]


class Model:
    """Hears in a window what `hears` says; answers while `open` is set."""

    ready_addresses = 1

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.in_work = 0
        self.most_in_work = 0
        self.open = asyncio.Event()
        self.open.set()
        self.hears: Callable[[Asked], str] = lambda asked: f" {asked.seconds:.1f} seconds."
        self.tokens: Callable[[Asked], tuple[int, ...]] = lambda asked: (1,)
        self.fails: Exception | None = None
        self.dropped: tuple[Dropped, ...] = ()

    async def send(self, message: bytes, *, span: tuple[float, float], deadline: float) -> WindowTranscript:
        audio, options = unpack_window(message)
        asked = Asked(len(audio) / SAMPLE_RATE, options, span)
        self.asked.append(asked)
        self.in_work += 1
        self.most_in_work = max(self.most_in_work, self.in_work)
        try:
            await self.open.wait()
        finally:
            self.in_work -= 1
        if self.fails:
            raise self.fails
        segment = Segment(
            0, 0, 0.0, round(asked.seconds, 2), self.hears(asked), self.tokens(asked), 0.0, -0.1, 1.0, 0.0
        )
        return WindowTranscript("en", 0.95, (segment,), dropped=self.dropped)


@dataclass
class Log(Silent):
    skipped: int = 0
    finals: list[float] = field(default_factory=list)
    interims: list[float] = field(default_factory=list)
    audio: float = 0.0
    dropped: int = 0

    def live_audio(self, seconds: float) -> None:
        self.audio += seconds

    def live_interim(self, took: float) -> None:
        self.interims.append(took)

    def live_interim_skipped(self) -> None:
        self.skipped += 1

    def live_final(self, took: float, transcript: Transcript) -> None:
        self.finals.append(took)
        self.dropped += len(transcript.dropped)


class Rig:
    """`say` and `pause` feed audio at the pace of the clock, which stands still otherwise."""

    def __init__(self, options: LiveOptions, **limits: float) -> None:
        settings = settings_for_tests()
        self.now = 100.0
        self.model, self.log = Model(), Log()
        self.scheduler = Scheduler(lambda: 64, 4)
        self.admission = Admission(settings, Clients(settings), self.log)
        self.gate = InterimGate(self.scheduler, lambda: 1, 1)
        self.threads = ThreadPoolExecutor(1)
        self.ticket = self.admission.admit("client", 0)
        resources = Resources(
            limits=Limits(**{**LIMITS, **limits}),
            sender=self.model,
            lane=self.scheduler.lane(),
            ticket=self.ticket,
            gate=self.gate,
            observer=self.log,
            listeners=self.threads,
            packers=self.threads,
            clock=lambda: self.now,
            new_speech_model=Loud,
        )
        self.session = LiveSession(options, resources)
        self.events: list[Event] = []
        self.error: Exception | None = None
        self.telling = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            async for event in self.session.events():
                self.events.append(event)
        except Exception as error:
            self.error = error

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def say(self, seconds: float, loud: float = 0.9) -> None:
        for _ in range(round(seconds / CHUNK)):
            self.now += CHUNK
            await self.session.write(pcm(CHUNK, loud))
            await self.settle()

    async def pause(self, seconds: float) -> None:
        await self.say(seconds, 0.0)

    async def settle(self) -> None:
        """Until all that can go on without the model has."""
        for _ in range(3):
            await asyncio.sleep(0)
        if self.model.open.is_set():
            await until(lambda: not self.scheduler.in_flight and not self.scheduler.waiting)
        else:
            await until(lambda: self.model.in_work == self.scheduler.in_flight)
        for _ in range(3):
            await asyncio.sleep(0)

    async def finish(self) -> None:
        await self.session.end()
        await self.telling


def pcm(seconds: float, loud: float = 0.9) -> bytes:
    return np.full(round(seconds * SAMPLE_RATE), loud * 32767, "<i2").tobytes()


@asynccontextmanager
async def rig(options: LiveOptions | None = None, **limits: float) -> AsyncIterator[Rig]:
    it = Rig(options or LiveOptions(), **limits)
    try:
        yield it
    finally:
        await it.session.close()
        it.telling.cancel()
        it.ticket.__exit__(None, None, None)
        it.threads.shutdown()

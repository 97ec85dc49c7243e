"""All live streams of a gateway: how many there may be, and what each is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager

from whisper_serve.gateway.admission import Admission, Ticket
from whisper_serve.gateway.failures import Overloaded
from whisper_serve.gateway.live.gate import InterimGate
from whisper_serve.gateway.live.options import LiveOptions
from whisper_serve.gateway.live.resources import Limits, Resources
from whisper_serve.gateway.live.session import LiveSession
from whisper_serve.gateway.live.turns import Turns
from whisper_serve.gateway.observer import Observer
from whisper_serve.gateway.run import Sender
from whisper_serve.gateway.scheduler import Scheduler
from whisper_serve.gateway.settings import GatewaySettings


class LiveHub:
    """Opens sessions."""

    def __init__(
        self,
        settings: GatewaySettings,
        admission: Admission,
        scheduler: Scheduler,
        sender: Sender,
        observer: Observer,
        *,
        listeners: Executor,
        packers: Executor,
        addresses: Callable[[], int],
    ) -> None:
        self._settings, self._admission, self._scheduler = settings, admission, scheduler
        self._sender, self._observer = sender, observer
        self._listeners, self._packers = listeners, packers
        self._turns = Turns(scheduler, addresses)
        self._gate = InterimGate(scheduler, self._turns, addresses, settings.live_interim_windows)
        self._limits = Limits(
            idle_seconds=settings.live_idle_seconds,
            max_seconds=settings.live_max_seconds,
            buffer_seconds=settings.live_buffer_seconds,
            interim_seconds=settings.live_interim_seconds,
            request_timeout=settings.request_timeout,
        )
        self._open = 0

    @contextmanager
    def admit(self, client: str) -> Iterator[Place]:
        """Room for one stream, for as long as the context lasts.

        Raises:
            Overloaded: there are as many streams as may be, or too much waits.
        """
        if self._open >= self._settings.live_streams:
            raise Overloaded(message="too many live streams are open: try again later", code="too_many_streams")
        with self._admission.admit(client, 0) as ticket:
            self._count(1)
            try:
                yield Place(self._resources(ticket))
            finally:
                self._count(-1)

    def _count(self, change: int) -> None:
        self._open += change
        self._observer.live_streams(self._open)

    def _resources(self, ticket: Ticket) -> Resources:
        return Resources(
            limits=self._limits,
            sender=self._sender,
            lane=self._scheduler.lane(),
            ticket=ticket,
            turns=self._turns,
            gate=self._gate,
            observer=self._observer,
            listeners=self._listeners,
            packers=self._packers,
            clock=asyncio.get_running_loop().time,
        )


class Place:
    """Room for one stream."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    @property
    def limits(self) -> Limits:
        return self._resources.limits

    @asynccontextmanager
    async def open(self, options: LiveOptions) -> AsyncIterator[LiveSession]:
        """The stream; leaving the context stops what is unfinished."""
        session = LiveSession(options, self._resources)
        try:
            yield session
        finally:
            await session.close()

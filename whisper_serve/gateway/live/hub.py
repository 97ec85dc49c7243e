"""All live streams of a gateway: how many there may be, and what each is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, asynccontextmanager, contextmanager

from whisper_serve.gateway.admission import Ticket
from whisper_serve.gateway.failures import Overloaded
from whisper_serve.gateway.live.options import LiveOptions
from whisper_serve.gateway.live.resources import Limits, Resources
from whisper_serve.gateway.live.session import LiveSession
from whisper_serve.gateway.observer import Observer
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.gateway.upstream import Upstream


class LiveHub:
    """Opens sessions."""

    def __init__(
        self,
        settings: GatewaySettings,
        upstreams: Mapping[str, Upstream],
        observer: Observer,
        *,
        listeners: Executor,
        packers: Executor,
    ) -> None:
        self._settings, self._upstreams, self._observer = settings, upstreams, observer
        self._listeners, self._packers = listeners, packers
        self.limits = Limits(
            idle_seconds=settings.live_idle_seconds,
            max_seconds=settings.live_max_seconds,
            buffer_seconds=settings.live_buffer_seconds,
            interim_seconds=settings.live_interim_seconds,
            request_timeout=settings.request_timeout,
        )
        self._open = 0

    @contextmanager
    def admit(self, client: str, model: str | None) -> Iterator[Place]:
        """Room for one stream, for as long as the context lasts; `model` is None where it is not known yet.

        Raises:
            Overloaded: there are as many streams as may be, or too much waits for the model.
        """
        if self._open >= self._settings.live_streams:
            raise Overloaded(message="too many live streams are open: try again later", code="too_many_streams")
        if model is None and len(self._upstreams) == 1:
            (model,) = self._upstreams
        with ExitStack() as held:
            place = Place(self, client, held)
            if model is not None:
                place.take(model)
            self._count(1)
            try:
                yield place
            finally:
                self._count(-1)

    def _count(self, change: int) -> None:
        self._open += change
        self._observer.live_streams(self._open)

    def ticket(self, client: str, model: str) -> Ticket:
        """Raises Overloaded: too much waits for the model, or the client has its share in work."""
        return self._upstreams[model].admission.admit(client, 0)

    def resources(self, model: str, ticket: Ticket) -> Resources:
        upstream = self._upstreams[model]
        return Resources(
            limits=self.limits,
            sender=upstream.backend,
            lane=upstream.scheduler.lane(),
            ticket=ticket,
            gate=upstream.gate,
            observer=upstream.observer,
            listeners=self._listeners,
            packers=self._packers,
            clock=asyncio.get_running_loop().time,
        )


class Place:
    """Room for one stream."""

    def __init__(self, hub: LiveHub, client: str, held: ExitStack) -> None:
        """`held` is closed when the room is given back."""
        self._hub, self._client, self._held = hub, client, held
        self._taken: tuple[str, Ticket] | None = None

    @property
    def limits(self) -> Limits:
        return self._hub.limits

    def take(self, model: str) -> Ticket:
        """Have room at a model, instead of at the one before.

        Raises:
            Overloaded: too much waits for it.
        """
        if self._taken is None or self._taken[0] != model:
            self._held.close()
            self._taken = None  # Nowhere, if it is refused there.
            self._taken = model, self._held.enter_context(self._hub.ticket(self._client, model))
        return self._taken[1]

    @asynccontextmanager
    async def open(self, options: LiveOptions, model: str) -> AsyncIterator[LiveSession]:
        """The stream; leaving the context stops what is unfinished. Raises what `take` does."""
        session = LiveSession(options, self._hub.resources(model, self.take(model)))
        try:
            yield session
        finally:
            await session.close()

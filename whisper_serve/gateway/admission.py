"""How much may wait: bounds on audio seconds of a model, and on requests and bytes of one client.

A request's load is what it still has to do, in seconds of audio: what is not decoded yet, and windows that wait or are
being computed. How fast loads shrink is measured, so that a client that is refused is told when to come again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final

from whisper_serve.gateway.failures import Overloaded
from whisper_serve.gateway.observer import ModelObserver
from whisper_serve.gateway.settings import GatewaySettings

UNKNOWN_RETRY_SECONDS: Final = 5.0
SHORTEST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 120.0
THROUGHPUT_MEMORY: Final = 30.0
"""Seconds of work after which a measurement counts a third."""
GUESSED_BYTES_PER_SECOND: Final = 16_000
"""Of files that do not say how long they are: 128 kbit/s."""

Clock = Callable[[], float]


class Throughput:
    """Seconds of audio computed a second of work, the recent past counting most; idle time does not count."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._audio = 0.0
        self._time = 0.0
        self._since: float | None = None
        """Since when there has been work, or it was last looked at; None while idle."""

    @property
    def rate(self) -> float | None:
        """None as long as nothing was measured."""
        return self._audio / self._time if self._audio and self._time else None

    def note(self, seconds: float, *, busy: bool) -> None:
        """So many seconds of audio were just computed; `busy` tells whether there is more in work."""
        now = self._clock()
        if self._since is not None:
            fading = math.exp(-(now - self._since) / THROUGHPUT_MEMORY)
            self._audio = self._audio * fading + seconds
            self._time = self._time * fading + (now - self._since)
        self._since = now if busy else None


class Clients:
    """Counts what each client has in work, whatever the models."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._tickets: set[Ticket] = set()

    def check(self, client: str, size_bytes: int, retry_after: float, ahead: float) -> None:
        """Raise Overloaded if with one more request, of that size, the client had more than its share.

        `ahead` is how many seconds of audio its model still has to do.
        """
        own = [ticket for ticket in self._tickets if ticket.client == client]
        if len(own) >= self._settings.max_requests_per_client:
            raise too_many_requests(retry_after, ahead)
        if own and sum(ticket.size_bytes for ticket in own) + size_bytes > self._settings.max_bytes_per_client:
            raise too_many_bytes(retry_after, ahead)

    def add(self, ticket: Ticket) -> None:
        self._tickets.add(ticket)

    def remove(self, ticket: Ticket) -> None:
        self._tickets.discard(ticket)


def too_many_requests(retry_after: float, ahead: float | None = None) -> Overloaded:
    """A client has its share of requests; `ahead`: seconds of audio that its model still has to do."""
    message = "too many of your requests are in work"
    return Overloaded(retry_after, message, code="too_many_requests", audio_seconds_ahead=ahead)


def too_many_bytes(retry_after: float, ahead: float | None = None) -> Overloaded:
    """A client has its share of bytes."""
    message = "too many bytes of yours are in work"
    return Overloaded(retry_after, message, code="too_many_bytes", audio_seconds_ahead=ahead)


class Admission:
    """Counts what all requests for a model still have to do, and refuses new ones when it is too much."""

    def __init__(
        self, settings: GatewaySettings, clients: Clients, observer: ModelObserver, *, clock: Clock = time.monotonic
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._observer = observer
        self._throughput = Throughput(clock)
        self._tickets: set[Ticket] = set()

    @property
    def seconds_waiting(self) -> float:
        return sum(ticket.waiting for ticket in self._tickets)

    @property
    def seconds_in_flight(self) -> float:
        return sum(ticket.in_flight for ticket in self._tickets)

    @property
    def seconds_ahead(self) -> float:
        """Of audio that is still to be done for the requests that are here."""
        return self.seconds_waiting + self.seconds_in_flight

    @property
    def retry_after(self) -> float:
        """Seconds after which what is here now will be done, from what was measured."""
        rate = self._throughput.rate
        if rate is None:
            return UNKNOWN_RETRY_SECONDS
        return min(max(self.seconds_ahead / rate, SHORTEST_RETRY_SECONDS), LONGEST_RETRY_SECONDS)

    def admit(self, client: str, size_bytes: int) -> Ticket:
        """A context manager as long as which a request counts.

        Raises:
            Overloaded: too much audio waits, or the client has its share in work.
        """
        self._clients.check(client, size_bytes, self.retry_after, self.seconds_ahead)
        self.check(None)
        ticket = Ticket(self, client, size_bytes)
        self._clients.add(ticket)
        self._tickets.add(ticket)
        return ticket

    def check(self, ticket: Ticket | None) -> None:
        """Raise Overloaded if without this ticket there is as much as may be.

        What one file adds to that is not bounded here: else a file longer than what is left would never find room.
        """
        load = sum(other.waiting + other.in_flight for other in self._tickets if other is not ticket)
        if load >= self._settings.max_queued_audio_seconds:
            raise Overloaded(self.retry_after, audio_seconds_ahead=load)

    def guess_seconds(self, size_bytes: int) -> float:
        """How long a file is that does not say so."""
        return min(size_bytes / GUESSED_BYTES_PER_SECOND, self._settings.max_audio_seconds)

    def changed(self, computed: float = 0.0) -> None:
        """A ticket changed; `computed` seconds of audio were answered."""
        in_flight = self.seconds_in_flight
        self._throughput.note(computed, busy=in_flight > 0)
        self._observer.queue(self.seconds_waiting, in_flight)

    def release(self, ticket: Ticket) -> None:
        self._clients.remove(ticket)
        self._tickets.discard(ticket)
        self.changed()


class Ticket:
    """One admitted request and what it still has to do, in seconds of audio."""

    def __init__(self, admission: Admission, client: str, size_bytes: int) -> None:
        self.client, self.size_bytes = client, size_bytes
        self.in_flight = 0.0
        self._admission = admission
        self._undecoded = 0.0
        self._cut = 0.0

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.release(self)

    @property
    def waiting(self) -> float:
        return self._undecoded + self._cut

    def expect(self, seconds: float) -> None:
        """The file announces so much; 0: it does not say.

        Raises:
            Overloaded: others that came meanwhile have filled the queue.
        """
        self._admission.check(self)
        self._undecoded = seconds or self._admission.guess_seconds(self.size_bytes)
        self._admission.changed()

    def decoded(self, seconds: float, *, end: bool = False) -> None:
        """So many more seconds were decoded; at the end nothing is left to decode, whatever was announced."""
        self._undecoded = 0.0 if end else max(0.0, self._undecoded - seconds)
        self._admission.changed()

    def cut(self, seconds: float) -> None:
        """A window waits."""
        self._cut += seconds
        self._admission.changed()

    @contextmanager
    def computing(self, seconds: float) -> Iterator[None]:
        """A window that waited is computed within; an exception means that it was not answered."""
        self.sent(seconds)
        answered = False
        try:
            yield
            answered = True
        finally:
            self.left(seconds, answered=answered)

    def sent(self, seconds: float) -> None:
        """A window that waited is being computed."""
        self._cut -= seconds
        self.in_flight += seconds
        self._admission.changed()

    def left(self, seconds: float, *, answered: bool) -> None:
        """It is not any more: it was answered, or failed."""
        self.in_flight -= seconds
        self._admission.changed(seconds if answered else 0.0)

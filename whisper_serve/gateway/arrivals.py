"""What clients are sending: bounds on the uploads of one client, before they are read and as they come.

An upload counts from its first byte until its request ends, so those in work count too. What one client may have in
work is so also the most that it can put on the disk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from whisper_serve.gateway.admission import UNKNOWN_RETRY_SECONDS, too_many_bytes, too_many_requests
from whisper_serve.gateway.settings import GatewaySettings

T = TypeVar("T")


class Arrivals:
    """All uploads that are open."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._open: set[Arrival] = set()

    @contextmanager
    def upload(self, client: str, announced: int = 0) -> Iterator[Arrival]:
        """Count an upload as long as the context lasts; ``announced``: its bytes, where it says so.

        Raises:
            Overloaded: the client has its share.
        """
        own = [arrival for arrival in self._open if arrival.client == client]
        if len(own) >= self._settings.max_requests_per_client:
            raise too_many_requests(UNKNOWN_RETRY_SECONDS)
        arrival = Arrival(self, client)
        self._open.add(arrival)
        try:
            if announced <= self._settings.max_upload_bytes:  # Else no place would be large enough.
                arrival.grow(announced)
            yield arrival
        finally:
            self._open.discard(arrival)

    def check(self, arrival: Arrival) -> None:
        """Raise Overloaded if with this upload the client has more bytes than its share; one alone may be larger."""
        others = sum(other.size for other in self._open if other.client == arrival.client and other is not arrival)
        if others and others + arrival.size > self._settings.max_bytes_per_client:
            raise too_many_bytes(UNKNOWN_RETRY_SECONDS)


class Arrival:
    """One upload: how large it is said to be, or came to be."""

    def __init__(self, arrivals: Arrivals, client: str) -> None:
        self.client = client
        self.size = 0
        self._arrivals = arrivals

    def grow(self, size: int) -> None:
        """It is at least so large. Raises Overloaded where that is too much."""
        if size > self.size:
            self.size = size
            self._arrivals.check(self)

    async def counted(self, pieces: AsyncIterator[T], size: Callable[[T], int]) -> AsyncIterator[T]:
        """The pieces as they come.

        Raises:
            Overloaded: the client has more than its share now.
        """
        received = 0
        async for piece in pieces:
            received += size(piece)
            self.grow(received)
            yield piece

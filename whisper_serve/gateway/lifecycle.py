"""Whether the gateway takes new work, and how much of it is under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from whisper_serve.gateway.changes import Changes
from whisper_serve.gateway.failures import Draining


class Lifecycle:
    """One for each process; belongs to its event loop."""

    def __init__(self) -> None:
        self.draining = False
        self._running = 0
        self._ended = Changes()

    @property
    def running(self) -> int:
        """Requests with audio that are being answered."""
        return self._running

    @contextmanager
    def work(self) -> Iterator[None]:
        """Count a request as running.

        Raises:
            Draining: no new ones are taken.
        """
        if self.draining:
            raise Draining
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._ended.tell()

    async def until_draining(self) -> None:
        """Return when no new work is taken any more: what would go on for long should come to its end."""
        await self._ended.until(lambda: self.draining)

    async def drain(self, seconds: float) -> bool:
        """Take no new work and wait for what is running; true if it ended in time."""
        self.draining = True
        self._ended.tell()
        return await self._ended.within(seconds, lambda: not self._running)

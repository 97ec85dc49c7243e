"""Whether the gateway takes new work, and how much of it is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from whisper_serve.gateway.changes import Changes
from whisper_serve.gateway.failures import Draining

T = TypeVar("T")


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

    async def unless_draining(self, coming: Awaitable[T]) -> T | None:
        """What is awaited; None, and it is cancelled, as soon as no new work is taken any more."""
        task = asyncio.ensure_future(coming)
        draining = asyncio.ensure_future(self._ended.until(lambda: self.draining))
        try:
            await asyncio.wait({task, draining}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            for each in (task, draining):
                each.cancel()
            await asyncio.gather(task, draining, return_exceptions=True)

    async def drain(self, seconds: float) -> bool:
        """Take no new work and wait for what is running; true if it ended in time."""
        self.draining = True
        self._ended.tell()
        return await self._ended.within(seconds, lambda: not self._running)

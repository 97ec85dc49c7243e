"""Waiting in the event loop until something becomes true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Wakes those who wait for a condition whenever it may have come true.

    When `until` returns nothing else has run since the condition was found true, so what is done before the next
    `await` is done under it.
    """

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def tell(self) -> None:
        """Something changed."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition is true."""
        while not condition():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    async def within(self, seconds: float, condition: Callable[[], bool]) -> bool:
        """Wait at most so many seconds for the condition: whether it came true.

        Without asyncio.wait_for, which up to Python 3.11 may swallow a cancellation.
        """
        late = asyncio.Event()
        timer = asyncio.get_running_loop().call_later(max(seconds, 0.0), self._ring, late)
        try:
            await self.until(lambda: condition() or late.is_set())
        finally:
            timer.cancel()
        return condition()

    def _ring(self, late: asyncio.Event) -> None:
        late.set()
        self.tell()

"""Whose window goes next: round-robin between requests, so that a long file cannot starve the rest.

A request's windows go in rounds: the next ones are sent when all that are in work have come back. So they make one
batch at one worker, while another worker is free for whoever comes; sent one by one as answers come, they would soon
be spread over all workers.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from whisper_serve.gateway.tracing import step


class Scheduler:
    """Deals out the slots in which windows are sent: at most `capacity()` in all, a round of `per_request` to each."""

    def __init__(
        self, capacity: Callable[[], int], per_request: int, waited: Callable[[float], None] = lambda took: None
    ) -> None:
        """`waited` is told of each window that got a slot how many seconds of time it waited for it."""
        self.waited = waited
        self.in_flight = 0
        self._capacity = capacity
        self._per_request = per_request
        self._lanes: deque[Lane] = deque()

    @property
    def waiting(self) -> int:
        """Windows that wait for a slot."""
        return sum(lane.waiting for lane in self._lanes)

    def lane(self) -> Lane:
        """A new request's place in the round."""
        return Lane(self)

    def wake(self) -> None:
        """Deal out what is free, also after the capacity has grown."""
        while self.in_flight < self._capacity() and (lane := self._next()):
            self.in_flight += 1
            lane.grant()

    def join(self, lane: Lane) -> None:
        """Have a lane dealt slots as long as it waits for some."""
        if lane not in self._lanes:
            self._lanes.append(lane)
        self.wake()

    def _next(self) -> Lane | None:
        """The next lane in the round that may have a slot; lanes that wait for none leave the round."""
        for _ in range(len(self._lanes)):
            lane = self._lanes.popleft()
            if not lane.waiting:
                continue
            self._lanes.append(lane)
            if lane.granted < self._per_request:
                return lane
        return None


class Lane:
    """One request's windows, first come, first served."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.granted = 0
        """Slots dealt in this round."""
        self._in_flight = 0
        self._scheduler = scheduler
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Windows that wait for a slot."""
        while self._queue and self._queue[0].cancelled():
            self._queue.popleft()  # Cancelled just now: its task has not run since.
        return len(self._queue)

    def grant(self) -> None:
        """Let the first in the queue go; for a lane that has one `waiting`."""
        self.granted += 1
        self._in_flight += 1
        self._queue.popleft().set_result(None)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot, and hold it. Whoever is cancelled while waiting leaves the queue at once."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        came = time.monotonic()
        self._queue.append(turn)
        self._scheduler.join(self)
        try:
            with step("wait"):
                await turn
            self._scheduler.waited(time.monotonic() - came)
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._release()
            elif turn in self._queue:
                self._queue.remove(turn)

    def _release(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self.granted = 0
        self._scheduler.in_flight -= 1
        self._scheduler.wake()

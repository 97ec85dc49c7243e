"""Which windows of live streams are in work: those that came first, and few at once, so that each is soon done."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from whisper_serve.gateway.scheduler import Scheduler

SHORT: Final = 2
"""While no more than so many wait, one round at a time is in work at an address, and else two: it has two workers."""
FEW: Final = 8
"""While no more than so many wait, a round is a single window."""
PATIENCE: Final = 3.0
"""Seconds after which a round is not waited for any more: its worker may have died, or be busy with a file."""


@dataclass(slots=True)
class _Round:
    """Windows that are in work together."""

    left: int
    over: bool = False


class Turns:
    """Deals out rounds.

    On a few cores windows that are computed together, in a batch or by two workers, are all done about as late as the
    last of them would be if they went one by one. Two workers do a little more together than one alone, so where some
    wait both have work; and where many wait, all of them go in the next round: on a GPU a batch takes hardly longer
    than a window. While files are in work, none waits here: what is in TorchServe's queue when a worker
    is free goes together anyway.
    """

    def __init__(self, scheduler: Scheduler, addresses: Callable[[], int]) -> None:
        self._scheduler, self._addresses = scheduler, addresses
        self._rounds = 0
        self._dealt = 0
        """Windows that have their turn."""
        self._queue: deque[asyncio.Future[_Round]] = deque()

    @property
    def waiting(self) -> int:
        """Windows that wait for their turn."""
        return len(self._queue)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it. Whoever is cancelled while waiting leaves the queue at once."""
        turn: asyncio.Future[_Round] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._deal()
        try:
            await turn
            yield
        finally:
            if turn in self._queue:
                self._queue.remove(turn)
            elif turn.done() and not turn.cancelled():
                self._leave(turn.result())

    @property
    def _files(self) -> bool:
        """Whether there is work that is not live."""
        return self._scheduler.in_flight + self._scheduler.waiting > self._dealt

    def _leave(self, own: _Round) -> None:
        self._dealt -= 1
        own.left -= 1
        if not own.left:
            self._end(own)

    def _end(self, own: _Round) -> None:
        if not own.over:
            own.over = True
            self._rounds -= 1
            self._deal()

    def _deal(self) -> None:
        while waiting := [turn for turn in self._queue if not turn.cancelled()]:
            most = self._addresses() * (2 if len(waiting) > SHORT else 1)
            if self._rounds >= most and not self._files:
                return
            chosen = waiting if len(waiting) > FEW or self._files else waiting[:1]
            dealt = _Round(len(chosen))
            self._rounds += 1
            self._dealt += len(chosen)
            asyncio.get_running_loop().call_later(PATIENCE, self._end, dealt)
            for turn in chosen:
                self._queue.remove(turn)
                turn.set_result(dealt)

"""Which windows of live streams are in work: those that came first, and few at once, so that each is soon done."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

FEW: Final = 8
"""While no more than so many wait, a round is a single window."""


@dataclass(slots=True)
class _Round:
    """Windows that are in work together."""

    left: int


class Turns:
    """Deals out rounds, one at a time at each address.

    On a few cores windows that are computed together, in a batch or by two workers, are all done as late as the last of
    them would be if they went one by one. Where many wait, all of them go in the next round: on a GPU a batch takes
    hardly longer than a window.
    """

    def __init__(self, addresses: Callable[[], int]) -> None:
        self._addresses = addresses
        self._rounds = 0
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

    def _leave(self, own: _Round) -> None:
        own.left -= 1
        if not own.left:
            self._rounds -= 1
            self._deal()

    def _deal(self) -> None:
        while self._rounds < self._addresses():
            waiting = [turn for turn in self._queue if not turn.cancelled()]
            if not waiting:
                return
            chosen = waiting if len(waiting) > FEW else waiting[:1]
            dealt = _Round(len(chosen))
            self._rounds += 1
            for turn in chosen:
                self._queue.remove(turn)
                turn.set_result(dealt)

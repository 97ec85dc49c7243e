"""When interim results may take the model's time: while hardly anything else wants it."""

from __future__ import annotations

from collections.abc import Callable

from whisper_serve.gateway.scheduler import Scheduler


class InterimGate:
    """Lets interim results of all streams through: few at once, and none while final texts and files need the model."""

    def __init__(self, scheduler: Scheduler, addresses: Callable[[], int], per_address: int) -> None:
        self._scheduler = scheduler
        self._addresses = addresses
        self._per_address = per_address
        self._in_work = 0

    @property
    def open(self) -> bool:
        """Whether one more may begin."""
        most = self._per_address * self._addresses()
        return self._in_work < most and self._others < most

    @property
    def open_in_pause(self) -> bool:
        """Whether an utterance may be sent that pauses, and may be over: that is in vain now and then."""
        return self._others < self._addresses()

    @property
    def _others(self) -> int:
        """Windows in work, or waiting, that are no interim results."""
        return self._scheduler.in_flight + self._scheduler.waiting - self._in_work

    def enter(self) -> None:
        """One begins."""
        self._in_work += 1

    def leave(self) -> None:
        """One has ended."""
        self._in_work -= 1

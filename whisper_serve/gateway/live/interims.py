"""The interim results of a stream: when one is made of the utterance that goes on, and what it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from whisper_serve.gateway.failures import GatewayError
from whisper_serve.gateway.live.events import Interim
from whisper_serve.gateway.live.resources import Resources
from whisper_serve.speech import Agreement, Endpointer, Utterance, WindowTranscript


class Interims:
    """Makes one when a second of speech is new, the last one has come back, and hardly anything else is in work.

    They take at most half of the time, so they thin out when the model is slow. One that comes back when its utterance
    has ended is thrown away.
    """

    def __init__(
        self,
        resources: Resources,
        understand: Callable[[Utterance], Awaitable[WindowTranscript]],
        tell: Callable[[Interim], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """`fail` is told what nobody foresaw."""
        self._resources = resources
        self._clock = resources.clock
        self._understand, self._tell, self._fail = understand, tell, fail
        self._agreement = Agreement()
        self._utterance: int | None = None
        """The number of that which goes on."""
        self._reached = 0.0
        """Up to where, in seconds of the stream, the last one went."""
        self._rested = 0.0
        """When, by the clock, the next one may begin."""
        self._skipped = False
        """Whether one is due, and was counted as left out."""
        self._task: asyncio.Task[None] | None = None

    def begin(self, number: int, start: float) -> None:
        """An utterance begins."""
        self._agreement = Agreement()
        self._utterance, self._reached = number, start

    def end(self) -> None:
        """It is over: its final text is better."""
        self._utterance = None

    def consider(self, endpointer: Endpointer) -> None:
        """Begin with one if it is due and there is room."""
        if not self._due(endpointer.speech_end):
            return
        if not self._resources.gate.open:
            if not self._skipped:
                self._resources.observer.live_interim_skipped()
            self._skipped = True
            return
        utterance = endpointer.current()
        assert utterance is not None
        self._reached, self._skipped = endpointer.speech_end, False
        self._resources.gate.enter()
        self._task = asyncio.create_task(self._make(utterance))
        self._task.add_done_callback(self._made)

    async def close(self) -> None:
        """Stop the one that is in work."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _due(self, speech_end: float) -> bool:
        if self._utterance is None or self._task or self._clock() < self._rested:
            return False
        return speech_end - self._reached >= self._resources.limits.interim_seconds

    async def _make(self, utterance: Utterance) -> None:
        began = self._clock()
        try:
            window = await self._understand(utterance)
        except GatewayError:
            return  # The final text is asked for all the same, and tells what is wrong.
        took = self._clock() - began
        self._rested = self._clock() + took
        if utterance.number != self._utterance:
            return
        text, stable = self._agreement.push(window.text, window.language)
        if text:
            start, end = round(utterance.start, 2), round(utterance.end, 2)
            self._tell(Interim(utterance.number, text, stable, window.language, start, end))
            self._resources.observer.live_interim(took)

    def _made(self, task: asyncio.Task[None]) -> None:
        self._resources.gate.leave()
        self._task = None
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._fail(error)

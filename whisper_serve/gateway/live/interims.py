"""The utterance that goes on, looked at: when, what is shown of it, and when its text is there before it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from whisper_serve.gateway.failures import GatewayError
from whisper_serve.gateway.live.events import Interim
from whisper_serve.gateway.live.resources import Resources
from whisper_serve.speech import Agreement, Endpointer, Utterance, WindowTranscript

Text: TypeAlias = "asyncio.Task[WindowTranscript]"
Understand: TypeAlias = Callable[[Utterance, bool], Coroutine[Any, Any, WindowTranscript]]
"""Has an utterance computed; the flag tells whether the text may become the final one."""


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """The utterance as far as it had come, sent at a time by the clock."""

    utterance: Utterance
    whole: bool
    """Whether it is all of the utterance unless speech goes on."""
    began: float
    text: Text

    def is_all_of(self, utterance: Utterance) -> bool:
        mine = self.utterance
        return self.whole and (mine.number, mine.start, mine.end) == (utterance.number, utterance.start, utterance.end)


class Interims:
    """Looks at the utterance that goes on, while somebody speaks and once they pause.

    While somebody speaks, when a second of speech is new, the last look has come back, and hardly anything else is in
    work. Such looks take at most half of the time, so they thin out when the model is slow.

    In a pause, as soon as it is as long as the padding of utterances and there is room. If speech goes on, that was one
    more look; if the pause ends the utterance, it is its final text, which thus need not wait for the pause's end.

    What comes back when there is a newer look, or when its utterance has ended, is not shown.
    """

    def __init__(
        self,
        resources: Resources,
        understand: Understand,
        tell: Callable[[Interim], None],
        fail: Callable[[Exception], None],
        *,
        shown: bool = True,
    ) -> None:
        """`fail` is told what nobody foresaw; where nothing is `shown`, only pauses are looked at."""
        self._resources = resources
        self._clock = resources.clock
        self._understand, self._tell, self._fail = understand, tell, fail
        self._shown = shown
        self._agreement = Agreement()
        self._utterance: int | None = None
        """The number of that which goes on."""
        self._reached = 0.0
        """Up to where, in seconds of the stream, the last look went."""
        self._rested = 0.0
        """When, by the clock, the next one may begin while somebody speaks."""
        self._skipped = False
        """Whether one is due, and was counted as left out."""
        self._last: _Look | None = None
        self._in_work: set[Text] = set()

    def begin(self, number: int, start: float) -> None:
        """An utterance begins."""
        self._agreement = Agreement()
        self._utterance, self._reached, self._last = number, start, None

    def end(self, utterance: Utterance) -> Text | None:
        """It is over: its text, there or on its way, if the last look was at all of it."""
        look, self._utterance, self._last = self._last, None, None
        return look.text if look and look.is_all_of(utterance) else None

    def consider(self, endpointer: Endpointer) -> None:
        """Look if it is time and there is room."""
        if self._utterance is None or endpointer.speech_end <= self._reached:
            return
        if endpointer.pausing:
            if endpointer.settled and self._resources.gate.open_in_pause:
                self._look(endpointer, whole=True)
        elif self._due(endpointer.speech_end):
            self._look_if_open(endpointer)

    async def close(self) -> None:
        """Stop what is in work."""
        for text in self._in_work:
            text.cancel()
        await asyncio.gather(*self._in_work, return_exceptions=True)

    def _due(self, speech_end: float) -> bool:
        if not self._shown or self._in_work or self._clock() < self._rested:
            return False
        return speech_end - self._reached >= self._resources.limits.interim_seconds

    def _look_if_open(self, endpointer: Endpointer) -> None:
        if self._resources.gate.open:
            self._resources.gate.enter()
            text = self._look(endpointer, whole=False)
            text.add_done_callback(lambda _: self._resources.gate.leave())
        elif not self._skipped:
            self._resources.observer.live_interim_skipped()
            self._skipped = True

    def _look(self, endpointer: Endpointer, *, whole: bool) -> Text:
        utterance = endpointer.current()
        assert utterance is not None
        self._reached, self._skipped = endpointer.speech_end, False
        text = asyncio.create_task(self._understand(utterance, whole))
        self._last = _Look(utterance, whole, self._clock(), text)
        self._in_work.add(text)
        text.add_done_callback(partial(self._came, self._last))
        return text

    def _came(self, look: _Look, text: Text) -> None:
        self._in_work.discard(text)
        if text.cancelled():
            return
        error = text.exception()
        if isinstance(error, GatewayError):
            return  # Whoever asks for the final text is told what is wrong.
        if isinstance(error, Exception):
            self._fail(error)
            return
        took = self._clock() - look.began
        self._rested = self._clock() + took
        if look is self._last and self._shown:
            self._show(look.utterance, text.result(), took)

    def _show(self, utterance: Utterance, window: WindowTranscript, took: float) -> None:
        text, stable = self._agreement.push(window.text, window.language)
        if text:
            start, end = round(utterance.start, 2), round(utterance.end, 2)
            self._tell(Interim(utterance.number, text, stable, window.language, start, end))
            self._resources.observer.live_interim(took)

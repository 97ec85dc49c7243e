"""One live stream, whatever brings it: bytes in, and events out as speech begins, grows and ends.

The samples go to an `Endpointer`. Each utterance that ends is sent as one window, one after the other, so that each may
have the text before it in its prompt. The one that goes on is sent as a window too, again and again, the last time when
it is likely to be over: see `Interims`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final as Constant

from whisper_serve.gateway.changes import Changes
from whisper_serve.gateway.failures import StreamIdle
from whisper_serve.gateway.live.context import LiveContext
from whisper_serve.gateway.live.events import Done, Event, Final, SpeechEnded, SpeechStarted
from whisper_serve.gateway.live.intake import open_intake
from whisper_serve.gateway.live.interims import Interims, Text
from whisper_serve.gateway.live.options import LiveOptions
from whisper_serve.gateway.live.resources import Resources
from whisper_serve.speech import (
    Audio,
    AudioTooLong,
    Begun,
    Endpointer,
    Utterance,
    WindowTranscript,
    merge,
    without_phantoms,
)

SHORTEST_WATCH: Constant = 0.05
UNREAD_EVENTS: Constant = 256
"""Events that may wait for the client before its audio is not taken any more."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """An utterance that waits for its text, and since when, by the clock."""

    utterance: Utterance
    since: float
    text: Text | None
    """On its way since before the utterance's end, if it is."""


class LiveSession:
    """Made by `hub.Place.open`, which also closes it.

    Whoever brings the audio calls `write`, and `end` at last; another task iterates over `events`.
    """

    def __init__(self, options: LiveOptions, resources: Resources) -> None:
        """Raises VadUnavailable where the speech detector is not installed."""
        self._options = options
        self._resources = resources
        self._limits = resources.limits
        self._clock = resources.clock
        self._endpointer = Endpointer(options.vad, model=resources.new_speech_model())
        self._context = LiveContext(options.window, conditioned=options.condition_on_previous_text)
        self._intake = open_intake(options, self._take)
        self._events: deque[Event] = deque()
        self._pending: deque[_Ended] = deque()
        self._changes = Changes()
        self._error: Exception | None = None
        self._ended = self._closed = self._done = False
        self._listening = asyncio.Lock()
        """Held by whoever has the endpointer at work in a thread."""
        self._writing = False
        self._last_audio = self._clock()
        self._interims = Interims(
            resources, self._understand_so_far, self._emit, self.fail, shown=options.interim_results
        )
        self._finals = asyncio.create_task(self._answer())
        self._watching = asyncio.create_task(self._watch())

    @property
    def seconds(self) -> float:
        """Audio taken so far."""
        return self._endpointer.seconds

    async def write(self, data: bytes) -> None:
        """Take audio; waits while too much of it waits for its text.

        Raises:
            AudioDecodeError: it cannot be decoded.
            AudioTooLong: the stream is longer than it may be.
        """
        self._writing = True
        try:
            await self._intake.write(data)
        finally:
            self._writing = False
            self._last_audio = self._clock()

    async def end(self) -> None:
        """No more audio comes: what was being said ends here. Raises as `write` does."""
        self._writing = True  # What is left may wait for longer than a stream may be idle.
        await self._intake.end()
        if self._ended or self._closed:
            return
        async with self._listening:
            self._hear(await self._resources.in_thread(self._endpointer.finish))
        self._ended = True
        self._changes.tell()

    async def commit(self) -> None:
        """End the utterance that goes on, as a pause would; of a container only what is decoded already is in it."""
        async with self._listening:
            self._hear(await self._resources.in_thread(self._endpointer.commit))

    def fail(self, error: Exception) -> None:
        """Have `events` end with this error, once those before it were given out."""
        self._error = self._error or error
        self._changes.tell()

    async def events(self) -> AsyncIterator[Event]:
        """All events, `Done` the last; raises what `fail` was called with and what `Backend.send` raises."""
        while True:
            await self._changes.until(lambda: bool(self._events or self._error or self._done))
            if self._events:
                event = self._events.popleft()
                self._changes.tell()
                yield event
            elif self._error:
                raise self._error
            else:
                return

    async def close(self) -> None:
        """Stop what is unfinished at once."""
        self._closed = True
        self._changes.tell()
        for task in (self._finals, self._watching):
            task.cancel()
        await asyncio.gather(self._finals, self._watching, return_exceptions=True)
        await self._interims.close()
        await self._intake.close()

    # Audio ---------------------------------------------------------------------------------------------------------

    @property
    def _full(self) -> bool:
        waiting = sum(ended.utterance.duration for ended in self._pending)
        return waiting > self._limits.buffer_seconds or len(self._events) > UNREAD_EVENTS

    async def _take(self, samples: Audio) -> None:
        await self._changes.until(lambda: not self._full or self._closed or self._error is not None)
        if self._closed or self._error or not len(samples):
            return
        before = self.seconds
        async with self._listening:
            self._hear(await self._resources.in_thread(self._endpointer.push, samples))
        self._resources.observer.live_audio(self.seconds - before)
        if self.seconds > self._limits.max_seconds:
            raise AudioTooLong(self._limits.max_seconds)
        if not self._pending and not self._events:
            self._interims.consider(self._endpointer)

    def _hear(self, heard: list[Begun | Utterance]) -> None:
        for each in heard:
            if isinstance(each, Begun):
                self._interims.begin(each.number, each.start)
                self._emit(SpeechStarted(each.number, each.start))
            else:
                text = self._interims.end(each)
                self._emit(SpeechEnded(each.number, round(each.end, 2)))
                self._pending.append(_Ended(each, self._clock(), text))
                if text is None:
                    self._resources.waits(each.duration)
        self._changes.tell()

    async def _watch(self) -> None:
        """Fail when nothing comes for too long."""
        while (left := self._last_audio + self._limits.idle_seconds - self._clock()) > 0 or self._writing:
            await asyncio.sleep(max(left, SHORTEST_WATCH))
        if not self._ended:
            self.fail(StreamIdle(self._limits.idle_seconds))

    def _emit(self, event: Event) -> None:
        self._events.append(event)
        self._changes.tell()

    # Finals --------------------------------------------------------------------------------------------------------

    async def _answer(self) -> None:
        """Every utterance in turn, to the end of the stream."""
        try:
            count = 0
            while await self._next():
                await self._finish(self._pending[0])
                self._pending.popleft()
                count += 1
            self._emit(Done(round(self.seconds, 2), count))
            self._done = True
            self._changes.tell()
        except Exception as error:
            self.fail(error)

    async def _next(self) -> bool:
        await self._changes.until(lambda: bool(self._pending) or self._ended)
        return bool(self._pending)

    async def _finish(self, ended: _Ended) -> None:
        utterance = ended.utterance
        window = await (ended.text or self._understand(utterance, whole=True, waited=True))
        self._context.learn(window, utterance.end)
        transcript = merge(
            [(utterance.start, window)],
            task=self._options.window.task,
            duration=utterance.duration,
            language=self._options.window.language,
        )
        self._emit(
            Final(
                utterance.number,
                round(utterance.start, 2),
                round(utterance.end, 2),
                transcript,
                self._words,
            )
        )
        self._resources.observer.live_final(self._clock() - ended.since, transcript)

    @property
    def _words(self) -> bool:
        return self._options.window.word_timestamps

    async def _understand_so_far(self, utterance: Utterance, whole: bool) -> WindowTranscript:
        return await self._understand(utterance, whole=whole, waited=False)

    async def _understand(self, utterance: Utterance, *, whole: bool, waited: bool) -> WindowTranscript:
        options = self._context.options_for(utterance, whole=whole)
        window = await self._resources.send(utterance, options, waited=waited)
        self._context.hear(utterance, window)
        return without_phantoms(window, utterance.duration, searched=True)

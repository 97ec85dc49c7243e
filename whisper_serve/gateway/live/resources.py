"""What a session uses of the gateway: threads, the way to the model, the gate for interim results, the clock."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from whisper_serve.gateway.admission import Ticket
from whisper_serve.gateway.live.gate import InterimGate
from whisper_serve.gateway.observer import ModelObserver
from whisper_serve.gateway.run import Sender
from whisper_serve.gateway.scheduler import Lane
from whisper_serve.speech import Utterance, WindowTranscript
from whisper_serve.speech.vad import SileroVad, SpeechModel
from whisper_serve.wire import WindowOptions, pack_window

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one stream may do, in seconds: see `GatewaySettings.live_*`."""

    idle_seconds: float
    max_seconds: float
    buffer_seconds: float
    interim_seconds: float
    request_timeout: float


@dataclass(frozen=True, slots=True)
class Resources:
    """Of one stream."""

    limits: Limits
    sender: Sender
    lane: Lane
    ticket: Ticket
    gate: InterimGate
    observer: ModelObserver
    listeners: Executor
    """Threads in which speech is looked for."""
    packers: Executor
    clock: Callable[[], float]
    new_speech_model: Callable[[], SpeechModel] = SileroVad

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function returns that would hold up the event loop."""
        call = functools.partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self.listeners, call)

    def waits(self, seconds: float) -> None:
        """An utterance of so much audio waits for its text."""
        self.ticket.cut(seconds)

    async def send(self, utterance: Utterance, options: WindowOptions, *, waited: bool) -> WindowTranscript:
        """Have an utterance computed when it is its turn; `waited`: it was told by `waits`.

        Raises what `Backend.send` does.
        """
        seconds, span = utterance.duration, (utterance.start, utterance.end)
        async with self.lane.slot():
            loop = asyncio.get_running_loop()
            message = await loop.run_in_executor(self.packers, pack_window, utterance.audio, options)
            if not waited:
                self.ticket.cut(seconds)
            with self.ticket.computing(seconds):
                deadline = loop.time() + self.limits.request_timeout
                return await self.sender.send(message, span=span, deadline=deadline)

"""Server-sent events: text as soon as it is known, comments while it is not, and how a stream ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any, Final, TypeVar

from starlette.types import Send

from whisper_serve.errors import envelope
from whisper_serve.gateway.replies import ClientGone, error_reply
from whisper_serve.gateway.service import Run
from whisper_serve.request import FileRequest
from whisper_serve.speech.formats import logprobs_body, usage, verbose_body
from whisper_serve.speech.transcript import TokenLogprob, WindowTranscript, needs_space
from whisper_serve.wire import ErrorReply

T = TypeVar("T")

DONE_TYPE: Final = "transcript.text.done"
DONE: Final = b"data: [DONE]\n\n"
KEEPALIVE: Final = b": keep-alive\n\n"
HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class Deltas:
    """Texts of consecutive windows to pieces that, put together, are the transcript's text."""

    def __init__(self) -> None:
        self._before = ""
        self._held = ""
        self._begun = False

    def add(self, window: WindowTranscript) -> str:
        """What the window adds; space at its end waits for what comes behind it."""
        space = " " if needs_space(self._before, window.text, window.language) else ""
        self._before = window.text or self._before
        piece = self._held + space + window.text
        if not self._begun:
            piece = piece.lstrip()
        delta = piece.rstrip()
        self._held = piece[len(delta) :]
        self._begun = self._begun or bool(delta)
        return delta


class EventStream:
    """The answer to one request. It begins with the first event, so that an error before that has its own status."""

    def __init__(self, send: Send, asked: FileRequest) -> None:
        self._send = send
        self._logprobs = asked.options.logprobs
        self._verbose = asked.render if asked.response_format == "verbose_json" else None
        self.begun = False
        self.failure: ErrorReply | None = None
        """What the client was told after the first event."""

    async def run(self, run: Run, keepalive_seconds: float) -> AsyncGenerator[str, None]:
        """Send all events; yields each delta as soon as it was sent. Errors after the first event are sent as one."""
        try:
            async for delta in self._deltas(run, keepalive_seconds):
                yield delta
            await self._event(self._done(run))
            await self._write(DONE, more=False)
        except ClientGone:
            raise
        except Exception as error:
            if not self.begun:
                raise
            self.failure = error_reply(error)
            await self._write(_data(envelope(self.failure)), more=False)

    async def _deltas(self, run: Run, keepalive_seconds: float) -> AsyncGenerator[str, None]:
        deltas = Deltas()
        async with aclosing(with_silences(run, keepalive_seconds)) as parts:
            async for part in parts:
                if part is None:
                    await self._write(KEEPALIVE)
                elif delta := deltas.add(part.window):
                    tokens = (token for segment in part.window.segments for token in segment.token_logprobs)
                    await self._event({"type": "transcript.text.delta", "delta": delta, **self._extra(tokens)})
                    yield delta

    def _done(self, run: Run) -> dict[str, Any]:
        transcript = run.transcript()
        if self._verbose:
            return {"type": DONE_TYPE, **verbose_body(transcript, self._verbose)}
        extra = self._extra(transcript.token_logprobs)
        if transcript.warnings:
            extra["warnings"] = list(transcript.warnings)
        used = usage(transcript.duration)
        return {"type": DONE_TYPE, "text": transcript.text, **extra, "usage": used}

    def _extra(self, tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
        return {"logprobs": logprobs_body(tokens)} if self._logprobs else {}

    async def _event(self, event: dict[str, Any]) -> None:
        await self._write(_data(json.dumps(event, ensure_ascii=False)))

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        if not self.begun:
            self.begun = True
            await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


async def with_silences(items: AsyncIterator[T], seconds: float) -> AsyncGenerator[T | None, None]:
    """The items, and ``None`` each time that none came for so long."""
    pending: asyncio.Future[T] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(items.__anext__())
            done, _ = await asyncio.wait([pending], timeout=seconds)
            if not done:
                yield None
                continue
            future, pending = pending, None
            try:
                item = future.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.wait([pending])


def _data(text: str) -> bytes:
    return f"data: {text}\n\n".encode()

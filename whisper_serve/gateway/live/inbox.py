"""What comes over a WebSocket, until the client ends, goes away, or the gateway is about to stop."""

from __future__ import annotations

from collections import deque

from starlette.websockets import WebSocket

from whisper_serve.gateway.lifecycle import Lifecycle
from whisper_serve.gateway.live.options import read_json
from whisper_serve.gateway.replies import ClientGone
from whisper_serve.wire import InvalidOption


class Commit:
    """The utterance is over, says the client."""


class Inbox:
    """The messages of an accepted WebSocket, one by one."""

    def __init__(self, websocket: WebSocket, lifecycle: Lifecycle) -> None:
        self._websocket = websocket
        self._lifecycle = lifecycle
        self._waiting: deque[bytes] = deque()
        self._ended = False
        self.cut_short = False
        """Whether the gateway and not the client ended the stream."""

    async def settings(self) -> dict[str, object]:
        """The fields of the first message if it is text; a first message of audio is kept.

        Raises as `audio` does.
        """
        message = await self._next()
        if isinstance(message, bytes):
            self._waiting.append(message)
        elif message is not None:
            fields = read_json(message)
            self._ended = fields.pop("type", "config") == "end"
            return fields
        return {}

    async def audio(self) -> bytes | Commit | None:
        """The next bytes, or the wish to end the utterance; None at the end.

        Raises:
            ClientGone: the client went away.
            InvalidOption: a message is none that is known.
        """
        if self._waiting:
            return self._waiting.popleft()
        if self._ended:
            return None
        message = await self._next()
        if not isinstance(message, str):
            return message
        kind = read_json(message).get("type")
        if kind not in ("commit", "end"):
            raise InvalidOption("type", f"the type of a later message must be 'commit' or 'end', not {kind!r}")
        return Commit() if kind == "commit" else None

    async def gone(self) -> None:
        """Pass over what comes, until the client goes away: then raise ClientGone."""
        while True:
            await self._receive()

    async def _next(self) -> str | bytes | None:
        """The next message, None when the gateway is about to stop."""
        message = await self._lifecycle.unless_draining(self._receive())
        if message is None:
            self._ended = self.cut_short = True
        return message

    async def _receive(self) -> str | bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise ClientGone
        text, data = message.get("text"), message.get("bytes")
        return text if text is not None else data or b""

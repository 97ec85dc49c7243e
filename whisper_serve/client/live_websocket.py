"""Live streams over a WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import fields
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from whisper_serve.client.live_events import LiveEvent, LiveFailed, LiveSettings

PATH: Final = "/v1/audio/stream"
HERE: Final = ("127.0.0.1", "localhost", "::1")
PING_TIMEOUT: Final = None
"""Pongs are not waited for: a gateway that has enough audio reads no further for a while, and so sees no ping."""
_FIELDS: Final = {field.name for field in fields(LiveEvent)}


async def events(
    url: str, audio: AsyncIterator[bytes], settings: LiveSettings, key: str | None
) -> AsyncGenerator[LiveEvent, None]:
    """See `live.listen_async`; a URL without a path gets that of the API."""
    parts = urlsplit(url)
    address = url if parts.path.strip("/") else parts._replace(path=PATH).geturl()
    headers = {"Authorization": f"Bearer {key}"} if key else None
    proxy: Literal[True] | None = None if parts.hostname in HERE else True
    try:
        async with connect(
            address, additional_headers=headers, proxy=proxy, compression=None, ping_timeout=PING_TIMEOUT
        ) as socket:
            await socket.send(json.dumps({"type": "config", **settings.as_json()}))
            sending = asyncio.create_task(_send(socket, audio))
            try:
                async for message in socket:
                    yield _event(json.loads(message))
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
    except InvalidStatus as error:
        raise _refused(error) from error
    except ConnectionClosed as error:
        raise LiveFailed(f"the connection to {address} was closed: {error}") from error
    except (OSError, InvalidHandshake, InvalidURI) as error:
        raise LiveFailed(f"{address} cannot be reached: {error}") from error


async def _send(socket: ClientConnection, audio: AsyncIterator[bytes]) -> None:
    with suppress(ConnectionClosed):  # Whoever reads is told why.
        async for chunk in audio:
            await socket.send(chunk)
        await socket.send('{"type": "end"}')


def _event(body: dict[str, Any]) -> LiveEvent:
    if body["type"] == "error":
        raise LiveFailed(body["error"]["message"], body["error"]["code"] or "")
    if body["type"] == "final":
        body["stable"] = body["text"]
    lists: dict[str, Any] = {name: tuple(body[name]) for name in ("segments", "words") if name in body}
    return LiveEvent(**{name: value for name, value in {**body, **lists}.items() if name in _FIELDS})


def _refused(error: InvalidStatus) -> LiveFailed:
    status = error.response.status_code
    try:
        told = json.loads(error.response.body or b"")["error"]
        return LiveFailed(str(told["message"]), str(told["code"]))
    except (ValueError, KeyError, TypeError):
        return LiveFailed(f"the server answered {status}: is there a WebSocket at this address?")

"""`/v1/audio/stream`: a live session over a WebSocket. docs/live.md tells the protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from whisper_serve.errors import envelope
from whisper_serve.gateway.failures import Draining, StreamIdle
from whisper_serve.gateway.live.events import Done
from whisper_serve.gateway.live.hub import Place
from whisper_serve.gateway.live.inbox import Commit, Inbox
from whisper_serve.gateway.live.options import LiveOptions
from whisper_serve.gateway.live.session import LiveSession
from whisper_serve.gateway.replies import ClientGone, error_reply
from whisper_serve.gateway.service import Service
from whisper_serve.gateway.timing import within

PROTOCOL: Final = "whisper-live"
"""The subprotocol to offer beside that with a key: a browser wants one of those that it offers to be chosen."""
NORMAL, GOING_AWAY, INTERNAL_ERROR, TRY_AGAIN_LATER = 1000, 1001, 1011, 1013
OWN_CODES: Final = 4000
"""Errors of the client: this and the HTTP status that a request would have been answered."""


async def stream_audio(service: Service, websocket: WebSocket) -> None:
    """Converse over a WebSocket from the request for it to its end.

    What is wrong before it is accepted is raised, and so answered as to an HTTP request; later it is told by an event.

    Raises:
        GatewayError, InvalidOption: the stream is not taken.
        ClientGone: the client went away.
    """
    asked, scope = dict(websocket.query_params), websocket.scope
    options = LiveOptions.from_fields(asked)
    scope["model"] = service.model_named(options.model)
    # Without a name the first message may bring one.
    model = scope["model"] if options.model else None
    with service.lifecycle.work(), service.pipeline.live(scope["client_name"], model) as place:
        await websocket.accept(PROTOCOL if PROTOCOL in scope["subprotocols"] else None)
        inbox = Inbox(websocket, service.lifecycle)
        try:
            await _converse(service, websocket, place, inbox, asked)
            await websocket.close(NORMAL)
        except (WebSocketDisconnect, ClientGone) as error:
            raise ClientGone from error
        except Exception as error:
            reply = scope["failure"] = error_reply(error)
            with suppress(WebSocketDisconnect):
                await _send(websocket, {"type": "error", **json.loads(envelope(reply))})
                await websocket.close(close_code(error, reply.status))


def close_code(error: Exception, status: int) -> int:
    """The code with which a WebSocket is closed after an error; ``status`` is that of the error in HTTP."""
    if isinstance(error, Draining):
        return GOING_AWAY
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return TRY_AGAIN_LATER
    return OWN_CODES + status if status < HTTPStatus.INTERNAL_SERVER_ERROR else INTERNAL_ERROR


async def _converse(
    service: Service, websocket: WebSocket, place: Place, inbox: Inbox, asked: Mapping[str, Any]
) -> None:
    try:
        told = await within(place.limits.idle_seconds, inbox.settings())
    except TimeoutError as error:
        raise StreamIdle(place.limits.idle_seconds) from error
    options = LiveOptions.from_fields({**asked, **told})
    model = websocket.scope["model"] = service.model_named(options.model)
    async with place.open(options, model) as session:
        reading = asyncio.create_task(_read(inbox, session))
        try:
            async for event in session.events():
                if inbox.cut_short and isinstance(event, Done):
                    raise Draining()  # The client has more to say, and should say it elsewhere.
                await _send(websocket, event.as_json())
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _read(inbox: Inbox, session: LiveSession) -> None:
    """Hand the audio to the session; what goes wrong on the way ends its events."""
    try:
        while (came := await inbox.audio()) is not None:
            await (session.commit() if isinstance(came, Commit) else session.write(came))
        await session.end()
        await inbox.gone()
    except Exception as error:
        session.fail(error)


async def _send(websocket: WebSocket, body: Mapping[str, Any]) -> None:
    await websocket.send_text(json.dumps(body, ensure_ascii=False))

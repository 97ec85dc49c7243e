"""Work for a client that may go away: then the work is cancelled at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from starlette.types import Receive

from whisper_serve.gateway.replies import ClientGone


async def body_of(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it comes.

    Raises:
        ClientGone: the client went away before its end.
    """
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if chunk := message.get("body", b""):
            yield chunk
        if not message.get("more_body", False):
            return


async def while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, whose body was read to its end, for as long as the client is there.

    Raises:
        ClientGone: it went away; the work was cancelled and has ended.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait([working, watching], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        await working
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""An answer to a body that was not read to its end, after which the connection is closed."""

from __future__ import annotations

import time
from typing import Final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from whisper_serve.gateway.timing import within

DRAINED_BYTES: Final = 16 * 1024**2
DRAINED_SECONDS: Final = 3.0


class ClosingResponse(Response):
    """Sent at once; then some of what still comes is taken and thrown away before the connection is closed.

    Closing while data is on its way resets the connection, and a client that is still sending would see that and not
    the answer.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await _drain(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: Receive) -> None:
    deadline = time.monotonic() + DRAINED_SECONDS
    taken = 0
    while taken < DRAINED_BYTES:
        try:
            message: Message = await within(deadline - time.monotonic(), receive())
        except TimeoutError:
            return
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return
        taken += len(message.get("body", b""))

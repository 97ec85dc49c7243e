"""Live audio over the gateway's WebSocket: the clip is spoken at its own pace, and its texts are waited for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from loadtest.answers import NO_ANSWER, Answer, Refused, RequestError, http_error
from loadtest.clips import Clip

PATH: Final = "/v1/audio/stream"
CHUNK_SECONDS: Final = 0.1
CHUNK_BYTES: Final = int(2 * 16_000 * CHUNK_SECONDS)


class LiveTransport:
    """A stream for each clip at the gateway's address `url`.

    `seconds` of its answers is how long after the end of the clip the last text came. `pace` is how many seconds a
    second of audio takes to be sent.
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 600.0, pace: float = 1.0) -> None:
        self._url = url.replace("http", "ws", 1)
        self._headers = {"authorization": f"Bearer {key}"} if key else None
        self._timeout, self._pace = timeout, pace

    def transcribe(self, clip: Clip) -> Answer:
        """See `Transport`."""
        address = f"{self._url}{PATH}?{urlencode({'language': clip.language})}"
        try:
            # A gateway that has enough audio reads no further for a while, and so answers no ping.
            with connect(
                address, additional_headers=self._headers, proxy=None, compression=None, ping_timeout=None
            ) as socket:
                return self._speak(socket, _pcm(clip))
        except InvalidStatus as error:
            raise http_error(error.response.status_code, bytes(error.response.body or b"").decode()) from error
        except TimeoutError as error:
            raise RequestError("timeout", f"nothing came for {self._timeout:g} s") from error
        except (OSError, InvalidHandshake, ConnectionClosed) as error:
            raise RequestError(NO_ANSWER, f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """See `Transport`: nothing is kept open."""

    def _speak(self, socket: Connection, pcm: bytes) -> Answer:
        """Send in a thread of its own, which under gevent is a greenlet, and hear meanwhile."""
        started = time.perf_counter()
        ended: list[float] = []

        def send() -> None:
            with suppress(ConnectionClosed):  # Whoever hears is told why.
                self._send(socket, pcm, started)
                ended.append(time.perf_counter())
                socket.send('{"type": "end"}')

        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        texts, first = [], None
        for event in self._events(socket):
            if first is None and event.get("text"):
                first = time.perf_counter() - started
            if event["type"] == "final":
                texts.append(event["text"])
        heard = time.perf_counter()
        sending.join()
        return Answer(" ".join(texts), heard - (ended[0] if ended else started), first)

    def _send(self, socket: Connection, pcm: bytes, started: float) -> None:
        for number, at in enumerate(range(0, len(pcm), CHUNK_BYTES), 1):
            # A chunk can be sent when it has been spoken.
            time.sleep(max(0.0, started + number * CHUNK_SECONDS * self._pace - time.perf_counter()))
            socket.send(pcm[at : at + CHUNK_BYTES])

    def _events(self, socket: Connection) -> Iterator[dict[str, Any]]:
        """All events up to the last, which is not among them."""
        while (event := json.loads(socket.recv(self._timeout)))["type"] != "done":
            if event["type"] == "error":
                raise _failed(event["error"])
            yield event


def _failed(error: dict[str, Any]) -> RequestError:
    if error["type"] == "rate_limit_error":
        return Refused(error["message"])
    return RequestError("error in stream", error["message"])


@lru_cache(maxsize=256)
def _pcm(clip: Clip) -> bytes:
    return clip.pcm()

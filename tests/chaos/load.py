"""Clients that send recordings one after the other, and what came of each request."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import httpx

from tests.e2e.stack import wait_until

RIGHT: Final = "right"
WRONG: Final = "wrong text"
NO_ANSWER: Final = "no answer"
REFUSED: Final = "connection refused"
LOST: Final = "connection closed"
PAUSE_SECONDS: Final = 0.3
"""After a failure, as clients do that try again."""
_COME_AGAIN: Final = (429, 503, 507)


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording, and the text that is answered for it while nothing is wrong."""

    name: str
    content: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request ended: `kind` is RIGHT, or what was wrong. Times are of `time.monotonic`."""

    kind: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Load:
    """A context manager: as long as it lasts, so many clients each have one request under way."""

    def __init__(self, url: str, clips: Sequence[Clip], clients: int = 4) -> None:
        self.answers: list[Answer] = []
        self._url, self._clips = url, clips
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send_all, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_right(self, after: float, seconds: float, answers: int = 1) -> float:
        """When so many requests that began after a time were answered right; fails after `seconds`."""
        wait_until(lambda: len(self._right(after)) >= answers, seconds)
        return self._right(after)[answers - 1]

    def _right(self, after: float) -> list[float]:
        return sorted(each.ended for each in list(self.answers) if each.kind == RIGHT and each.began >= after)

    def _send_all(self, number: int) -> None:
        # A connection for each request: one that is kept may be closed while the next request is on its way.
        limits = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=self._url, timeout=180, trust_env=False, limits=limits) as client:
            while not self._stop.is_set():
                clip = self._clips[number % len(self._clips)]
                number += 1
                began = time.monotonic()
                kind = transcribed(client, clip)
                self.answers.append(Answer(kind, began, time.monotonic()))
                if kind != RIGHT:
                    self._stop.wait(PAUSE_SECONDS)


def transcribed(client: httpx.Client, clip: Clip) -> str:
    """The kind of answer that a clip gets."""
    form = {"model": "whisper-1", "response_format": "text"}
    try:
        answer = client.post("/v1/audio/transcriptions", files={"file": (clip.name, clip.content)}, data=form)
    except httpx.ConnectError:
        return REFUSED
    except httpx.TimeoutException:
        return NO_ANSWER
    except httpx.TransportError:
        return LOST
    return _kind(answer, clip)


def _kind(answer: httpx.Response, clip: Clip) -> str:
    if answer.status_code == 200:
        return RIGHT if answer.text == clip.text else f"{WRONG}: {answer.text!r} for {clip.name}"
    error = answer.json()["error"]
    kind = f"{answer.status_code} {error['code']}"
    assert error["message"]
    if answer.status_code in _COME_AGAIN and "retry-after" not in answer.headers:
        return f"{kind} without Retry-After"
    return kind

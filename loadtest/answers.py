"""What comes back of a request: a text with its times, or an error of a kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from loadtest.clips import Clip

WRONG_TEXT: Final = "wrong text"
EMPTY_TEXT: Final = "empty text"
NO_ANSWER: Final = "no answer"


@dataclass(frozen=True, slots=True)
class Answer:
    """A transcript, the seconds until its first text had come where it comes in parts, and until all had come."""

    text: str
    seconds: float
    first_text_seconds: float | None = None


class RequestError(Exception):
    """A request without an answer; `kind` is what errors are counted by, such as ``HTTP 500``."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Refused(RequestError):
    """The server has no room and says so at once: admission control, which is a promise and no fault."""

    def __init__(self, message: str) -> None:
        super().__init__("refused", message)


class Transport(Protocol):
    """A way to send clips; one for each user, not for several threads at once."""

    def transcribe(self, clip: Clip) -> Answer:
        """The clip's transcript. Raises RequestError."""

    def close(self) -> None:
        """Let go of the connections."""


def http_error(status: int, told: str) -> RequestError:
    """What a status other than 2xx means; of what is told, the beginning."""
    if status == 429:
        return Refused(told[:200])
    return RequestError(f"HTTP {status}", f"HTTP {status}: {told[:200]}")

"""What calls raise, read from the status that they end with.

SpeechClientError
├── InvalidRequest      a field or the audio cannot be used: `violations` names it
├── Unauthenticated     the server asks for a key that it knows
├── ModelNotFound       no such model
├── Overloaded          too much waits, or a message is too large (then `retry_after` is None)
├── Unavailable         no server, no model that is ready, or a server that is about to stop
├── DeadlineExceeded    it took longer than the timeout, or than the server lets
├── Cancelled           the call was cancelled
└── ServerFailed        anything else
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

_DETAILS_KEY: Final = "grpc-status-details-bin"
_ID_KEY: Final = "x-request-id"


@dataclass(frozen=True, slots=True)
class _Told:
    """What a server says of a failed call."""

    reason: str = ""
    retry_after: float | None = None
    audio_seconds_ahead: float | None = None
    violations: dict[str, str] = field(default_factory=dict)


class SpeechClientError(Exception):
    """Base of all: `str()` of it is the server's sentence.

    `reason` is the error's code in upper case, such as ``INVALID_VALUE``; `retry_after` the seconds after which another
    try may help, `audio_seconds_ahead` those of audio that the model of an overloaded server still has to do, each None
    where the server does not say so; `violations` the sentences about fields, by their paths; `request_id` what the
    server's log calls the request.
    """

    def __init__(self, message: str, code: grpc.StatusCode, told: _Told, request_id: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = told.reason
        self.retry_after = told.retry_after
        self.audio_seconds_ahead = told.audio_seconds_ahead
        self.violations = told.violations
        self.request_id = request_id


class InvalidRequest(SpeechClientError):
    """A field or the audio cannot be used."""


class Unauthenticated(SpeechClientError):
    """No key was sent, or one that the server does not know."""


class ModelNotFound(SpeechClientError):
    """There is no model of that name."""


class Overloaded(SpeechClientError):
    """Too much waits, or a message is too large."""


class Unavailable(SpeechClientError):
    """There is no server, no model that is ready, or the server is about to stop."""


class DeadlineExceeded(SpeechClientError):
    """It took too long."""


class Cancelled(SpeechClientError):
    """The call was cancelled."""


class ServerFailed(SpeechClientError):
    """The server failed, or cannot do this."""


_KINDS: Final[dict[grpc.StatusCode, type[SpeechClientError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.NOT_FOUND: ModelNotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
}


def read_error(error: Any) -> SpeechClientError:
    """The error that a failed call (grpc.RpcError, sync or async) means."""
    code: grpc.StatusCode = error.code()
    metadata = {str(key): value for key, value in error.trailing_metadata() or ()}
    kind = _KINDS.get(code, ServerFailed)
    return kind(error.details() or code.name, code, _read(metadata.get(_DETAILS_KEY, b"")), metadata.get(_ID_KEY, ""))


def _read(data: bytes) -> _Told:
    info, retry, bad = ErrorInfo(), RetryInfo(), BadRequest()
    messages: tuple[Message, ...] = (info, retry, bad)
    told = set()
    try:
        for detail in Status.FromString(data).details:
            told |= {id(message) for message in messages if detail.Unpack(message)}
    except DecodeError:
        return _Told()
    seconds = retry.retry_delay.ToTimedelta().total_seconds() if id(retry) in told else None
    ahead = info.metadata.get("audioSecondsAhead", "")
    return _Told(
        reason=info.reason,
        retry_after=seconds,
        audio_seconds_ahead=float(ahead) if ahead.isdecimal() else None,
        violations={each.field: each.description for each in bad.field_violations},
    )

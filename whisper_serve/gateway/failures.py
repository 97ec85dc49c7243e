"""Why the gateway refuses or cannot finish a request, each with the status and the words a caller is told.

GatewayError
├── BadUpload            400  the body is not the form that was announced, or not one that is accepted
│   └── UploadTooLarge   413  it is larger than the limit
├── Unauthorized         401  no key, or one that is not known
├── NotFound             404  no such route
│   └── ModelNotFound    404  no such model
├── UploadTooSlow        408  no data came for too long
├── StreamIdle           408  nothing came of a live stream for too long
├── PoisonWindow         422  a window ended the worker that computed it, twice
├── Overloaded           429  more audio waits than is accepted, or this client has its share
├── Refused              4xx  the model server refused a window, in its own words
├── NotReady             503  no model became ready in time
├── BackendUnavailable   503  the model server could not be reached or failed, for as long as was tried
├── Draining             503  the gateway is about to stop
├── DeadlineExceeded     504  the request took longer than it may
└── StorageFailed        507  an upload cannot be kept: the disk is full or broken
"""

from __future__ import annotations

import math

from whisper_serve.errors import ReportedError
from whisper_serve.wire import ErrorReply


class GatewayError(ReportedError):
    """Base of all errors of the gateway. ``retry_after`` is in seconds; ``should_retry`` tells SDKs not to."""

    status = 500
    type = "server_error"
    code = "internal_error"
    should_retry: bool | None = None

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.retry_after = retry_after


class BadUpload(GatewayError):
    """The body is not the form that was announced, or not one that is accepted."""

    status, type, code = 400, "invalid_request_error", "invalid_upload"


class UploadTooLarge(BadUpload):
    """The body, a part of it or the number of its parts is over the limit."""

    status, code = 413, "upload_too_large"


class Unauthorized(GatewayError):
    """No key was sent, or one that is not known."""

    status, type, code = 401, "authentication_error", "invalid_api_key"


class NotFound(GatewayError):
    """There is nothing at this path."""

    status, type, code = 404, "invalid_request_error", "not_found"


class ModelNotFound(NotFound):
    """There is no model of that name here."""

    code = "model_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"the model {name!r} does not exist here", param="model")


class UploadTooSlow(GatewayError):
    """No data of the body came for too long; sending it again as slowly would end the same."""

    status, type, code, should_retry = 408, "invalid_request_error", "upload_too_slow", False


class StreamIdle(GatewayError):
    """Nothing came of a live stream for too long."""

    status, type, code = 408, "invalid_request_error", "stream_idle"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no audio came for {seconds:g} seconds: send silence, or end the stream")


class PoisonWindow(GatewayError):
    """A window ended the worker that computed it, twice. ``start`` and ``end`` are seconds in the file."""

    status, type, code = 422, "invalid_request_error", "audio_crashes_model"

    def __init__(self, start: float, end: float) -> None:
        super().__init__(f"the model fails on the audio from {start:.2f} to {end:.2f} seconds", param="file")
        self.start, self.end = start, end


class Overloaded(GatewayError):
    """More audio waits than is accepted, or this client has its share in work.

    ``audio_seconds_ahead``: how much audio the model still has to do, in whole seconds; None where that is not why.
    """

    status, type, code = 429, "rate_limit_error", "overloaded"

    def __init__(
        self,
        retry_after: float = 5.0,
        message: str = "too much audio is waiting: try again later",
        *,
        code: str = "",
        audio_seconds_ahead: float | None = None,
    ) -> None:
        """``code`` tells apart why, such as ``too_many_requests``."""
        super().__init__(message, retry_after=retry_after)
        self.code = code or type(self).code
        self.audio_seconds_ahead = None if audio_seconds_ahead is None else math.ceil(audio_seconds_ahead)


class Refused(GatewayError):
    """The model server refused a window: told to the caller as it came."""

    def __init__(self, reply: ErrorReply) -> None:
        super().__init__(reply.message, param=reply.param)
        self.status, self.type = reply.status, reply.type
        self.code = reply.code or "refused"


class NotReady(GatewayError):
    """No model became ready in the time that requests wait for one."""

    status, type, code = 503, "server_error", "model_not_ready"

    def __init__(self, retry_after: float = 10.0, message: str = "no model is ready yet: try again later") -> None:
        super().__init__(message, retry_after=retry_after)


class BackendUnavailable(GatewayError):
    """The model server could not be reached, or failed, for as long as was tried."""

    status, type, code = 503, "server_error", "model_unavailable"

    def __init__(self, message: str = "the model server does not answer", retry_after: float = 10.0) -> None:
        super().__init__(message, retry_after=retry_after)


class Draining(GatewayError):
    """The gateway is about to stop and takes no new work; another one, or the next one, will."""

    status, type, code = 503, "server_error", "draining"

    def __init__(self, retry_after: float = 1.0) -> None:
        super().__init__("this server is about to stop: try again", retry_after=retry_after)


class StorageFailed(GatewayError):
    """What was uploaded cannot be kept: the disk is full, broken or may not be written."""

    status, type, code = 507, "server_error", "storage_failed"

    def __init__(self, retry_after: float = 10.0) -> None:
        super().__init__("the server has no room to store the file: try again later", retry_after=retry_after)


class DeadlineExceeded(GatewayError):
    """The request took longer than it may. Whoever asked again would wait as long again."""

    status, type, code, should_retry = 504, "server_error", "deadline_exceeded", False

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the request took longer than the limit of {seconds:g} seconds")

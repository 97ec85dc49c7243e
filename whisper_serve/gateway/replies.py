"""Errors as HTTP answers: the envelope, and the headers that tell clients whether and when to try again."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from whisper_serve.errors import describe, envelope
from whisper_serve.gateway.closing import ClosingResponse
from whisper_serve.gateway.failures import (
    BadUpload,
    GatewayError,
    NotFound,
    Overloaded,
    StorageFailed,
    Unauthorized,
    UploadTooSlow,
)
from whisper_serve.wire import ErrorReply

logger = logging.getLogger(__name__)

CLIENT_GONE: Final = 499
"""What is logged and counted for a request whose client went away; nobody reads it."""


class ClientGone(Exception):
    """The client closed the connection: there is nobody to answer."""


def error_reply(error: Exception) -> ErrorReply:
    """What a caller is told of any exception; those nobody foresaw are logged here."""
    if isinstance(error, HTTPException):
        return _of_router(error)
    reply = describe(error)
    if reply.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("a request failed: %s: %s", type(error).__name__, error, exc_info=error)
    return reply


def error_response(error: Exception, reply: ErrorReply, *, body_read: bool) -> Response:
    """The envelope with its status and headers; ``body_read``: the request's body came to its end."""
    headers = _headers(error, reply)
    if body_read or not isinstance(error, (BadUpload, UploadTooSlow, StorageFailed, Overloaded)):
        return Response(envelope(reply), reply.status, headers, media_type="application/json")
    headers["connection"] = "close"  # what is left of the body would have to be read first
    return ClosingResponse(envelope(reply), reply.status, headers, media_type="application/json")


def _headers(error: Exception, reply: ErrorReply) -> dict[str, str]:
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if isinstance(error, GatewayError) and error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
        headers["retry-after-ms"] = str(round(error.retry_after * 1000))
    if isinstance(error, Overloaded) and error.audio_seconds_ahead is not None:
        headers["x-audio-seconds-ahead"] = str(error.audio_seconds_ahead)
    if isinstance(error, GatewayError) and error.should_retry is not None:
        headers["x-should-retry"] = str(error.should_retry).lower()
    elif reply.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        headers["x-should-retry"] = "false"
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    return headers


def _of_router(error: HTTPException) -> ErrorReply:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return describe(NotFound("there is nothing at this path: see /docs for what there is"))
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_")
    return ErrorReply(error.status_code, f"{error.detail}".lower(), "invalid_request_error", None, code)

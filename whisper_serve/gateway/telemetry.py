"""What surrounds every request: its id, its line in the log, its metrics, and an answer when it fails.

What fails after its answer has begun tells so in the answer, and here by ``scope["failure"]``: it is counted and logged
with the status that it would have had.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisper_serve.gateway.logs import request_id
from whisper_serve.gateway.metrics import NO_MODEL, Metrics
from whisper_serve.gateway.replies import CLIENT_GONE, ClientGone, error_reply, error_response
from whisper_serve.gateway.tracing import Span, Tracer, request_span
from whisper_serve.wire import ErrorReply

logger = logging.getLogger(__name__)

_ID: Final = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_BEGINNINGS: Final = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
"""Messages with which an answer begins."""
_QUIET: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds, and logged only for those who look closely."""


class Telemetry:
    """ASGI middleware around everything else; no exception leaves it."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracer: Tracer | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        number = fit_request_id(headers.get("x-request-id", ""))
        token = request_id.set(number)
        exchange = _Exchange(receive, send, number)
        self._metrics.request_began()
        try:
            with request_span(None if scope["path"] in _QUIET else self._tracer, headers, number) as span:
                try:
                    await self._answer(exchange, scope)
                finally:
                    _describe(span, scope, _status(scope, exchange))
        except asyncio.CancelledError:
            exchange.status = exchange.status or CLIENT_GONE
            raise
        finally:
            self._record(scope, exchange)
            request_id.reset(token)

    async def _answer(self, exchange: _Exchange, scope: Scope) -> None:
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except ClientGone:
            exchange.status = CLIENT_GONE
        except Exception as error:
            reply = scope["failure"] = error_reply(error)
            if not exchange.status:
                body_read = exchange.body_read or scope["type"] == "websocket"
                response = error_response(error, reply, body_read=body_read)
                await response(scope, exchange.receive, exchange.send)

    def _record(self, scope: Scope, exchange: _Exchange) -> None:
        took = time.monotonic() - exchange.started
        route = getattr(scope.get("route"), "path_format", "none")
        status, failure = _status(scope, exchange) or 500, scope.get("failure")
        response_format, model = scope.get("response_format", "none"), scope.get("model", NO_MODEL)
        if failure:
            self._metrics.rejected(failure.code or "other", model)
        self._metrics.request_ended(route, status, response_format, model, took)
        logger.log(
            logging.DEBUG if route in _QUIET else logging.INFO,
            "%s %s",
            scope.get("method", "WEBSOCKET"),
            scope["path"],
            extra={
                "status": status,
                "seconds": round(took, 3),
                "client_name": scope.get("client_name"),
                **({"error": failure.code or "other"} if failure else {}),
            },
        )


def _status(scope: Scope, exchange: _Exchange) -> int:
    """That of what failed; 0 as long as no answer has begun."""
    failure: ErrorReply | None = scope.get("failure")
    return failure.status if failure else exchange.status


def _describe(span: Span, scope: Scope, status: int) -> None:
    """By OpenTelemetry's names for HTTP."""
    route, method = getattr(scope.get("route"), "path_format", "none"), scope.get("method", "WEBSOCKET")
    model = scope.get("model", NO_MODEL)
    span.set(name=f"{method} {route}", **{"http.request.method": method, "http.route": route, "whisper.model": model})
    span.set(**{"http.response.status_code": status or CLIENT_GONE})
    if status >= 500:
        span.fail(f"status {status}")


class _Exchange:
    """Receives and sends for one request, with the id on the answer; ``status`` is 0 until that has begun."""

    def __init__(self, receive: Receive, send: Send, number: str) -> None:
        self._receive = receive
        self._send = send
        self._number = number
        self.started = time.monotonic()
        self.status = 0
        self.body_read = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self.body_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] in _BEGINNINGS:
            self.status = message.get("status", HTTPStatus.SWITCHING_PROTOCOLS)
            message.setdefault("headers", [])
            MutableHeaders(scope=message)["x-request-id"] = self._number
        await self._send(message)


def fit_request_id(given: str) -> str:
    """The caller's, if it is fit for a log; else a new one."""
    return given if _ID.fullmatch(given) else f"req_{secrets.token_hex(16)}"

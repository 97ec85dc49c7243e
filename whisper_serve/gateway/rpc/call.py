"""What surrounds every call: who makes it, its id, its line in the log, its metrics, and a status when it fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import unquote

import grpc
import grpc.aio
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message

from whisper_serve.gateway.auth import client_name
from whisper_serve.gateway.keys import KeyRing
from whisper_serve.gateway.logs import request_id
from whisper_serve.gateway.metrics import NO_MODEL, Metrics
from whisper_serve.gateway.replies import error_reply
from whisper_serve.gateway.rpc.statuses import status_of
from whisper_serve.gateway.telemetry import fit_request_id
from whisper_serve.gateway.tracing import Tracer, request_span
from whisper_serve.speech_v1 import speech_pb2

logger = logging.getLogger(__name__)

ID_KEY: Final = "x-request-id"
SERVICE: Final = speech_pb2.DESCRIPTOR.services_by_name["SpeechService"]
_METHODS: Final = {f"/{SERVICE.full_name}/{method.name}": method for method in SERVICE.methods}

Behaviour = Callable[[Any, Any], Awaitable[Any]]


class Call:
    """One call, as the methods of the service see it."""

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self.started = time.monotonic()
        self.client = "anonymous"
        """Who makes it: a key, or an address."""
        self.model = NO_MODEL
        """The own name of the model that it asks for, once it is known."""
        metadata = {str(name): value for name, value in context.invocation_metadata() or ()}
        self.request_id = fit_request_id(_text(metadata.get(ID_KEY)))
        self.traceparent = _text(metadata.get("traceparent"))
        self.authorization = _text(metadata.get("authorization"))
        self._context = context
        self._begun = False

    @property
    def took(self) -> float:
        """Seconds since it came."""
        return time.monotonic() - self.started

    @property
    def late(self) -> bool:
        """Whether its deadline has passed."""
        left = self._context.time_remaining()
        return left is not None and left <= 0

    @property
    def address(self) -> str | None:
        """The host that it comes from."""
        kind, _, rest = unquote(self._context.peer()).partition(":")
        return rest.rpartition(":")[0].strip("[]") if kind in {"ipv4", "ipv6"} else None

    async def write(self, message: Message) -> None:
        """Send one message of a stream."""
        await self.begin()
        await self._context.write(message)

    async def begin(self) -> None:
        """Send the head. Not before there is an answer: clients may try again what fails without a head."""
        if not self._begun:
            self._begun = True
            await self._context.send_initial_metadata(((ID_KEY, self.request_id),))

    async def fail(self, status: grpc.Status) -> None:
        """End it; raises grpc.aio.AbortError."""
        trailing = (*(status.trailing_metadata or ()), (ID_KEY, self.request_id))
        await self._context.abort(status.code, status.details or "", trailing)


class Surroundings(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Wraps the methods of the service, which are coroutines `method(request or requests, call)`; others it leaves."""

    def __init__(self, metrics: Metrics, keys: KeyRing | None, tracer: Tracer | None = None) -> None:
        self._metrics = metrics
        self._tracer = tracer
        self._keys = keys

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler that gRPC would use, surrounded."""
        handler = await continuation(handler_call_details)
        method = _METHODS.get(handler_call_details.method)
        if handler is None or method is None:
            return handler
        shape = f"{_shape(handler.request_streaming)}_{_shape(handler.response_streaming)}"
        make = getattr(grpc, f"{shape}_rpc_method_handler")
        surrounded = self._surround(method, getattr(handler, shape))
        return make(surrounded, handler.request_deserializer, handler.response_serializer)

    def _surround(self, method: MethodDescriptor, behaviour: Behaviour) -> Behaviour:
        async def surrounded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            call = Call(context)
            token = request_id.set(call.request_id)
            self._metrics.request_began()
            code = "CANCELLED"
            try:
                call.client = client_name(self._keys, call.authorization, call.address)
                with request_span(self._tracer, {"traceparent": call.traceparent}, call.request_id) as span:
                    span.set(name=method.full_name, **{"rpc.system": "grpc", "rpc.method": method.full_name})
                    answer = await behaviour(request, call)
                await call.begin()
                code = "OK"
                return answer
            except asyncio.CancelledError:
                code = "DEADLINE_EXCEEDED" if call.late else code
                raise
            except Exception as error:
                status = self._status(error, method.input_type, call.model)
                code = status.code.name
                await call.fail(status)
            finally:
                self._record(method, call, code)
                request_id.reset(token)

        return surrounded

    def _status(self, error: Exception, request: Descriptor, model: str) -> grpc.Status:
        reply = error_reply(error)
        self._metrics.rejected(reply.code or "other", model)
        return status_of(error, reply, request)

    def _record(self, method: MethodDescriptor, call: Call, code: str) -> None:
        self._metrics.call_ended(method.full_name, code, call.model, call.took)
        extra = {"status": code, "seconds": round(call.took, 3), "client_name": call.client}
        logger.info("gRPC %s", method.full_name, extra=extra)


def _shape(streaming: bool) -> str:
    return "stream" if streaming else "unary"


def _text(value: str | bytes | None) -> str:
    return value if isinstance(value, str) else ""

"""The gRPC server in the gateway's event loop: the service, health, reflection, and a quiet end."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from whisper_serve.gateway.keys import KeyRing
from whisper_serve.gateway.rpc.call import SERVICE, Surroundings
from whisper_serve.gateway.rpc.speech import SpeechService
from whisper_serve.gateway.service import Service
from whisper_serve.settings import SettingsError
from whisper_serve.speech_v1 import speech_pb2_grpc

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES: Final = 32 * 1024**2
"""Of what is received; speech.proto tells it."""
LOOK_SECONDS: Final = 0.25
"""How often those who watch the health are told whether it has changed."""
LAST_MESSAGES_SECONDS: Final = 5.0
"""How long answers may take to leave at the end."""
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),
    # Two gateways at one port would each get some of the calls: rather an error.
    ("grpc.so_reuseport", 0),
    # Clients whose machine is gone are noticed, and those that ping often, through balancers, are let.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_concurrent_streams", 256),
    # Clients look up the name anew from time to time, and so find gateways that were added; calls in work finish.
    ("grpc.max_connection_age_ms", 30 * 60_000),
)


class RpcServer:
    """Listens from `start` to `stop`, in the event loop in which it is started."""

    def __init__(self, service: Service, keys: KeyRing | None, port: int) -> None:
        self.port = port
        """Once it is started the one that it listens on, which for 0 is any free one."""
        self._service = service
        self._keys = keys
        self._server: grpc.aio.Server | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            SettingsError: the address cannot be used.
        """
        surroundings = Surroundings(self._service.metrics, self._keys, self._service.tracer)
        server = grpc.aio.server(interceptors=[surroundings], options=_OPTIONS)
        speech_pb2_grpc.add_SpeechServiceServicer_to_server(SpeechService(self._service), server)
        state = Health(self._service)
        health_pb2_grpc.add_HealthServicer_to_server(state, server)
        reflection.enable_server_reflection((SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        host = self._service.settings.host
        address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        try:
            self.port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise SettingsError(f"gRPC cannot listen on {address}: choose another WHISPER_GRPC_PORT, or off") from error
        await server.start()
        self._server = server
        self._watching = asyncio.create_task(state.watch())
        logger.info("gRPC listens on %s:%d", host, self.port)

    async def stop(self) -> None:
        """Take no more calls, and end those that are not done soon."""
        if self._watching:
            self._watching.cancel()
        if self._server:
            await self._server.stop(LAST_MESSAGES_SECONDS)


class Health(health.aio.HealthServicer):  # type: ignore[misc, name-defined]
    """grpc.health.v1: serving while a model is ready and new work is taken; each model by its name too."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service
        self._server_status.clear()  # Until it is known, nothing serves.

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> health_pb2.HealthCheckResponse:
        """As it is now."""
        await self.look()
        response: health_pb2.HealthCheckResponse = await super().Check(request, context)
        return response

    async def watch(self) -> None:
        """Tell watchers of changes, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Set the status of all services to what it is."""
        pipeline, kinds = self._service.pipeline, health_pb2.HealthCheckResponse
        for name, ready in {**pipeline.models, **dict.fromkeys(("", SERVICE.full_name), pipeline.ready)}.items():
            serving = ready and not self._service.lifecycle.draining
            status = kinds.SERVING if serving else kinds.NOT_SERVING
            if self._server_status.get(name) != status:
                await self.set(name, status)

"""The ASGI application: routes, who may use them, and what surrounds every request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from whisper_serve import __version__
from whisper_serve.gateway.arrivals import Arrivals
from whisper_serve.gateway.auth import GUARDED, Authentication
from whisper_serve.gateway.exposition import exposed
from whisper_serve.gateway.head import Head
from whisper_serve.gateway.keys import KeyRing
from whisper_serve.gateway.lifecycle import Lifecycle
from whisper_serve.gateway.metrics import Metrics
from whisper_serve.gateway.routes import add_routes
from whisper_serve.gateway.rpc.server import RpcServer
from whisper_serve.gateway.service import PipelineLike, Service
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.gateway.spool import SpoolSpace
from whisper_serve.gateway.telemetry import Telemetry
from whisper_serve.gateway.tracing import make_tracer

DESCRIPTION = """Speech to text with OpenAI's Whisper: any client of OpenAI's audio API works unchanged.

What can be got answers HEAD too. A path that is not listed here is answered 404, a method that a path does not have
405 with `Allow`; both with the body and the `x-request-id` of all errors.

Live audio goes to a WebSocket at `/v1/audio/stream`, which this page cannot describe: see docs/live.md.
"""


def create_app(
    settings: GatewaySettings,
    pipeline: PipelineLike,
    *,
    metrics: Metrics | None = None,
    lifecycle: Lifecycle | None = None,
) -> FastAPI:
    """The application; its lifespan starts and closes the pipeline, and the gRPC server, which is its `state.rpc`.

    So it does with a port of metrics, where the settings have one.

    Raises:
        KeysError: the file of keys cannot be read.
        SettingsError: traces are asked for, and what sends them is not installed.
    """
    service = Service(
        settings,
        pipeline,
        metrics or Metrics(),
        lifecycle or Lifecycle(),
        Arrivals(settings),
        SpoolSpace(settings.max_spool_bytes),
        make_tracer(settings),
    )
    service.metrics.limits(settings)
    service.metrics.spool(service.space)
    keys = KeyRing(settings.keys_file) if settings.keys_file else None
    rpc = None if settings.grpc_port is None else RpcServer(service, keys, settings.grpc_port)
    app = FastAPI(
        title="Whisper", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None,
        lifespan=_lifespan(service, rpc), redirect_slashes=False,
    )  # fmt: skip
    app.state.rpc = rpc
    add_routes(app, service)
    app.add_exception_handler(HTTPException, _raise_on)
    app.add_middleware(Authentication, keys=keys)
    app.add_middleware(Head)
    app.add_middleware(Telemetry, metrics=service.metrics, tracer=service.tracer)
    app.openapi = lambda: _document(app, guarded=keys is not None)  # type: ignore[method-assign]
    return app


def _lifespan(service: Service, rpc: RpcServer | None) -> Any:
    settings = service.settings

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if service.tracer is not None:
                stack.push_async_callback(asyncio.to_thread, service.tracer.close)
            await service.pipeline.start()
            stack.push_async_callback(service.pipeline.close)
            if settings.metrics_port is not None:
                stack.enter_context(exposed(service.metrics, settings.host, settings.metrics_port))
            if rpc:
                stack.push_async_callback(rpc.stop)
                await rpc.start()
            yield

    return lifespan


async def _raise_on(_: Request, error: Exception) -> Response:
    """What the router refuses is answered where all errors are: in `Telemetry`."""
    raise error


def _document(app: FastAPI, *, guarded: bool) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        if guarded:
            _require_keys(document)
        app.openapi_schema = document
    return app.openapi_schema


def _require_keys(document: dict[str, Any]) -> None:
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["key"] = {"type": "http", "scheme": "bearer"}
    for path, operations in document["paths"].items():
        if path.startswith(GUARDED):
            for operation in operations.values():
                operation["security"] = [{"key": []}]

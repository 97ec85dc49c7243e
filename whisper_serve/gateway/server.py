"""The gateway as a process: uvicorn, and a quiet end when it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from types import FrameType
from typing import Any, Final

import uvicorn

from whisper_serve.gateway.app import create_app
from whisper_serve.gateway.backend import Backend
from whisper_serve.gateway.lifecycle import Lifecycle
from whisper_serve.gateway.logs import configure
from whisper_serve.gateway.metrics import Metrics
from whisper_serve.gateway.pipeline import Pipeline
from whisper_serve.gateway.service import PipelineLike
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.memory import keep_trimmed, share_arenas

logger = logging.getLogger(__name__)

MESSAGE_BYTES: Final = 4 * 1024**2
"""Largest message of a WebSocket."""
KEEP_ALIVE_SECONDS: Final = 75
"""How long a connection may lie idle: longer than clients (5 s and more) and load balancers (60 s) keep one, so that
they close it. A request that met the server's own closing would be lost."""
LAST_BYTES_SECONDS: Final = 5
"""How long answers may take to leave once their work has ended or was given up."""


def run(settings: GatewaySettings) -> int:
    """Serve until SIGTERM or SIGINT, then let running requests finish; the process' exit code.

    Raises:
        KeysError: the file of keys cannot be read.
    """
    configure(settings.log_level)
    share_arenas()
    keep_trimmed()
    metrics, lifecycle = Metrics(), Lifecycle()
    backends = {model.name: Backend(settings, model, metrics.of(model.name)) for model in settings.served}
    pipeline = Pipeline(settings, backends, metrics)
    app = create_app(settings, pipeline, metrics=metrics, lifecycle=lifecycle)
    server = DrainingServer(uvicorn_config(app, settings), pipeline, lifecycle, settings.drain_seconds)
    server.run()
    return 0 if server.started else 1


def uvicorn_config(app: Any, settings: GatewaySettings) -> uvicorn.Config:
    """With the C loop and parser, and our own log."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ws_max_size=MESSAGE_BYTES,
        ws_ping_timeout=None,  # pongs wait with the audio that is not read yet; who says nothing ends as idle
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=LAST_BYTES_SECONDS,
    )


class DrainingServer(uvicorn.Server):
    """On the first signal takes no new work but goes on answering; stops when the work is done, or on the second."""

    def __init__(
        self, config: uvicorn.Config, pipeline: PipelineLike, lifecycle: Lifecycle, drain_seconds: float
    ) -> None:
        super().__init__(config)
        self._pipeline = pipeline
        self._lifecycle = lifecycle
        self._drain_seconds = drain_seconds
        self.loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """As uvicorn's; keeps the loop that signals are handed to."""
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)  # type: ignore[arg-type]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal. It is not raised again at the end, so the process ends with its own exit code."""
        if self.loop is None or self._lifecycle.draining:
            self.should_exit = True
            self.force_exit = self._lifecycle.draining
            return
        self._lifecycle.draining = True
        logger.info("%s: taking no new work", signal.Signals(sig).name)
        self.loop.call_soon_threadsafe(self.begin_drain)

    def begin_drain(self) -> None:
        """Called in the event loop."""
        self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        running = self._lifecycle.running
        finished = await self._lifecycle.drain(self._drain_seconds)
        await self._pipeline.drain(0 if not finished else LAST_BYTES_SECONDS)
        logger.info("drained", extra={"requests": running, "finished": finished})
        self.should_exit = True

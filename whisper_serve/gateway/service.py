"""What the routes work with, and what they need of a pipeline."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

from whisper_serve.gateway.arrivals import Arrivals
from whisper_serve.gateway.failures import ModelNotFound
from whisper_serve.gateway.lifecycle import Lifecycle
from whisper_serve.gateway.live.hub import Place
from whisper_serve.gateway.metrics import Metrics
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.gateway.spool import SpoolSpace
from whisper_serve.gateway.tracing import Tracer
from whisper_serve.gateway.work import Part, Work
from whisper_serve.speech import Transcript, WindowTranscript

OWNER: Final = "whisper-serve"
"""Who is told to own the models."""


class Run(Protocol):
    """A file on its way: an async iterator over its parts, and after its end the whole."""

    def __aiter__(self) -> Run: ...

    async def __anext__(self) -> Part: ...

    def transcript(self) -> Transcript: ...


class PipelineLike(Protocol):
    """`pipeline.Pipeline`, as far as the routes use it."""

    @property
    def ready(self) -> bool: ...

    @property
    def models(self) -> Mapping[str, bool]: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def drain(self, seconds: float) -> object: ...

    def open(self, work: Work) -> AbstractAsyncContextManager[Run]: ...

    def live(self, client: str, model: str | None) -> AbstractContextManager[Place]: ...

    async def detect_language(self, work: Work) -> WindowTranscript: ...


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that an answer is made with."""

    settings: GatewaySettings
    pipeline: PipelineLike
    metrics: Metrics
    lifecycle: Lifecycle
    arrivals: Arrivals
    space: SpoolSpace
    tracer: Tracer | None = None
    created: int = field(default_factory=lambda: int(time.time()))
    """Unix time at which this gateway began; told as that of its models."""

    def model_named(self, name: str | None) -> str:
        """The own name of the model that a request asks for by any name; the first one's where it names none.

        Raises:
            ModelNotFound: no model is called so.
        """
        if not name:
            return self.settings.served[0].name
        for model in self.settings.served:
            if name in model.names:
                return model.name
        raise ModelNotFound(name)

"""What Prometheus is told. Labels take few values: routes, statuses, formats, models, reasons of our own."""

from __future__ import annotations

import platform
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from whisper_serve import __version__
from whisper_serve.gateway.families import LATENCIES, counter, gauge, histogram
from whisper_serve.gateway.model_metrics import ModelFamilies, ModelMetrics

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
NO_MODEL: Final = "none"
"""The label of requests that are not for a model, or for which it is not known."""


class Metrics:
    """All of them, in a registry of their own. Serves the pipeline as its observer."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._models: dict[str, ModelMetrics] = {}
        self._families = ModelFamilies(self.registry)
        self._requests()
        self._live = gauge(self.registry, "live_streams", "Live streams that are open.")
        build = gauge(self.registry, "build_info", "What runs here; always 1.", "version", "python")
        build.labels(__version__, platform.python_version()).set(1)

    def _requests(self) -> None:
        registry = self.registry
        self._answered = counter(registry, "requests", "Requests answered.", "route", "status", "format", "model")
        self._latency = histogram(
            registry, "request_seconds", "From first to last byte.", LATENCIES, "route", "status", "model"
        )
        self._running = gauge(registry, "requests_running", "Requests being answered now.")
        self._rejected = counter(registry, "rejections", "Requests refused.", "reason", "model")
        self._decoded = counter(registry, "decoded_audio_seconds", "Audio decoded and searched for speech.")
        self._decoding = counter(registry, "decode_seconds", "Time spent decoding.")
        self._searching = counter(registry, "vad_seconds", "Time spent finding speech and cutting windows.")

    def of(self, model: str) -> ModelMetrics:
        """Those of a model, by its own name; from the first call on they are there, as zeros."""
        if model not in self._models:
            self._models[model] = ModelMetrics(self._families, model)
        return self._models[model]

    def decoded(self, seconds: float, decoding: float, searching: float) -> None:
        """So much audio was decoded, and searched for speech, in so much time."""
        self._decoded.inc(seconds)
        self._decoding.inc(decoding)
        self._searching.inc(searching)

    def request_began(self) -> None:
        """A request came in."""
        self._running.inc()

    def request_ended(self, route: str, status: int, response_format: str, model: str, took: float) -> None:
        """A request was answered, or its client went away (499)."""
        self._running.dec()
        self._answered.labels(route, str(status), response_format, model).inc()
        self._latency.labels(route, f"{status // 100}xx", model).observe(took)

    def call_ended(self, method: str, code: str, model: str, took: float) -> None:
        """A gRPC call ended; the code is the name of its status. It counts among the requests."""
        self._running.dec()
        self._answered.labels(method, code, "grpc", model).inc()
        self._latency.labels(method, code, model).observe(took)

    def rejected(self, reason: str, model: str) -> None:
        """A request was refused; the reason is an error's code."""
        self._rejected.labels(reason, model).inc()

    def live_streams(self, count: int) -> None:
        """So many live streams are open."""
        self._live.set(count)

    def render(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)

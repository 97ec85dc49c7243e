"""What Prometheus is told. Labels take few values: routes, statuses, formats, models, reasons of our own."""

from __future__ import annotations

import platform
from typing import Final

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from whisper_serve import __version__
from whisper_serve.gateway.families import LATENCIES, Families
from whisper_serve.gateway.model_metrics import ModelFamilies, ModelMetrics
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.gateway.spool import SpoolSpace

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
NO_MODEL: Final = "none"
"""The label of requests that are not for a model, or for which it is not known."""


class Metrics:
    """All of them, in a registry of their own. Serves the pipeline as its observer."""

    def __init__(self) -> None:
        self.families = Families()
        self.registry = self.families.registry
        self._models: dict[str, ModelMetrics] = {}
        self._of_models = ModelFamilies(self.families)
        self._requests()
        self._uploads()
        self._limits()
        self._live = self.families.gauge("live_streams", "Live streams that are open.")
        build = self.families.gauge("build_info", "What runs here; always 1.", "version", "python")
        build.labels(__version__, platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)

    def _requests(self) -> None:
        made = self.families
        self._answered = made.counter("requests", "Requests answered.", "route", "status", "format", "model")
        self._latency = made.histogram(
            "request_seconds", "From first to last byte.", LATENCIES, "route", "status", "model"
        )
        self._running = made.gauge("requests_running", "Requests being answered now.")
        self._rejected = made.counter("rejections", "Requests refused.", "reason", "model")
        self._decoded = made.counter("decoded_audio_seconds", "Audio decoded and searched for speech.")
        self._decoding = made.counter("decode_seconds", "Time spent decoding.")
        self._searching = made.counter("vad_seconds", "Time spent finding speech and cutting windows.")

    def _uploads(self) -> None:
        made = self.families
        self._spooled = made.gauge("spool_bytes", "Uploads held on disk now.")
        self._spool_free = made.gauge("spool_free_bytes", "Room for more uploads on disk.")
        self._spool_size = made.gauge("spool_disk_bytes", "Room for uploads on disk: its size, or max_spool_bytes.")

    def _limits(self) -> None:
        self._most_queued = self.families.gauge(
            "queue_limit_audio_seconds",
            "Audio that may wait for a model or be in work before new requests are refused.",
        )
        self._most_live = self.families.gauge("live_streams_limit", "Live streams that may be open.")

    def limits(self, settings: GatewaySettings) -> None:
        """What these settings allow, to compare with what there is."""
        self._most_queued.set(settings.max_queued_audio_seconds)
        self._most_live.set(settings.live_streams)

    def spool(self, space: SpoolSpace) -> None:
        """Tell of this space from now on."""
        self._spooled.set_function(lambda: space.used)
        self._spool_free.set_function(lambda: space.free)
        self._spool_size.set_function(lambda: space.size)

    def of(self, model: str) -> ModelMetrics:
        """Those of a model, by its own name; from the first call on they are there, as zeros."""
        if model not in self._models:
            self._models[model] = ModelMetrics(self._of_models, model)
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

"""Spans of OpenTelemetry, sent as OTLP over HTTP. Only `tracing.make_tracer` imports this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from whisper_serve import __version__
from whisper_serve.gateway.tracing import Attribute

_PROPAGATOR = TraceContextTextMapPropagator()
_KINDS = {"torchserve": SpanKind.CLIENT}


class OtlpSpan:
    """One span."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, **attributes: Attribute) -> None:
        """Say more of it; the attribute ``name`` is its name."""
        if name := attributes.pop("name", None):
            self._span.update_name(str(name))
        self._span.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        """It did not succeed."""
        self._span.set_status(Status(StatusCode.ERROR, reason))


class OtlpTracer:
    """Sends spans to a collector in batches, from a thread of its own."""

    def __init__(self, endpoint: str, ratio: float) -> None:
        """`endpoint` is the collector's address without a path; `ratio` of the traces that begin here are kept."""
        resource = Resource.create({SERVICE_NAME: "whisper-gateway", SERVICE_VERSION: __version__})
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(ratio), resource=resource, shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("whisper_serve")

    @contextmanager
    def request(self, headers: Mapping[str, str]) -> Iterator[OtlpSpan]:
        """The span of a request, below that which its caller's ``traceparent`` names."""
        above = _PROPAGATOR.extract(headers)
        with self._tracer.start_as_current_span("request", above, SpanKind.SERVER) as span:
            yield OtlpSpan(span)

    @contextmanager
    def step(self, name: str, **attributes: Attribute) -> Iterator[OtlpSpan]:
        """A step below the current span."""
        kind = _KINDS.get(name, SpanKind.INTERNAL)
        with self._tracer.start_as_current_span(name, kind=kind, attributes=attributes) as span:
            yield OtlpSpan(span)

    def past(self, name: str, began: int, ended: int, **attributes: Attribute) -> None:
        """A step that is over."""
        self._tracer.start_span(name, attributes=attributes, start_time=began).end(ended)

    def headers(self) -> Mapping[str, str]:
        """W3C's ``traceparent`` of the current span."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier

    def close(self) -> None:
        """Send what was not sent yet."""
        self._provider.shutdown()

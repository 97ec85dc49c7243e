"""Traces as a collector receives them: a real gateway's process, real OTLP over HTTP, real gRPC to a stand-in."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.stack import is_ready, run_gateway, wait_until
from tests.gateway.standin import FAILED, cluster, in_loop
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.gateway.tracing import make_tracer, outgoing_headers, step
from whisper_serve.settings import SettingsError

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "req_traced"}


class Collector:
    """Receives spans."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.url = ""

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> Any:
        (span,) = self.named(name)
        return span


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""
    import gzip

    collector = Collector()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                collector.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@in_loop
async def test_a_request_is_traced_from_its_caller_to_the_model_server() -> None:
    clip = (Path(__file__).parents[1] / "data" / "en-jfk.mp3").read_bytes()

    def ask(collector: Collector, target: str) -> None:
        with run_gateway(target, WHISPER_OTLP_ENDPOINT=collector.url) as gateway:
            wait_until(lambda: is_ready(gateway), 30)
            standin.failures.append(FAILED)
            files = {"file": ("clip", clip)}
            answer = gateway.http.post("/v1/audio/transcriptions", files=files, headers=HEADERS)
            assert answer.status_code == 200

    with collecting() as collector:
        async with cluster() as it:
            (standin,) = it.servers
            await asyncio.to_thread(ask, collector, standin.target.removeprefix("ipv4:"))
    request = collector.one("POST /v1/audio/transcriptions")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    told = attributes(request)
    assert told["whisper.request_id"] == "req_traced"
    assert (told["http.response.status_code"], told["whisper.model"]) == (200, "whisper")
    assert {span.trace_id for span in collector.spans} == {request.trace_id}
    check_steps(collector, request)
    sent = collector.named("torchserve")
    assert len(standin.traceparents) == len(sent)
    assert set(standin.traceparents) == {f"00-{TRACE}-{span.span_id.hex()}-01" for span in sent}


def check_steps(collector: Collector, request: Any) -> None:
    """The clip of 11 s is one window, whose first sending failed."""
    for name in ("decode", "vad", "wait", "window"):
        spans = collector.named(name)
        assert spans, name
        assert {span.parent_span_id for span in spans} == {request.span_id}
        assert all(request.start_time_unix_nano <= span.start_time_unix_nano for span in spans)
        assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)
    decoded = sum(attributes(span)["whisper.audio_seconds"] for span in collector.named("decode"))
    assert decoded == pytest.approx(11, abs=0.1)
    window = collector.one("window")
    attempts = sorted(collector.named("torchserve"), key=lambda span: int(span.start_time_unix_nano))
    assert {span.parent_span_id for span in attempts} == {window.span_id}
    assert [span.status.code for span in attempts] == [2, 0]  # error, then none
    assert window.start_time_unix_nano <= attempts[0].start_time_unix_nano
    assert attempts[-1].end_time_unix_nano <= window.end_time_unix_nano


def test_without_a_collector_nothing_is_imported() -> None:
    """But OpenTelemetry's interfaces, which FastAPI itself imports."""
    code = (
        "import sys; from whisper_serve.gateway.app import create_app; "
        "from whisper_serve.gateway.settings import GatewaySettings; "
        "from whisper_serve.gateway.tracing import make_tracer; "
        "assert make_tracer(GatewaySettings.read({})) is None; "
        "heavy = ('opentelemetry.sdk', 'opentelemetry.exporter', 'opentelemetry.proto'); "
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert outgoing_headers() == {}
    assert step("decode") is not None


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "whisper_serve.gateway.otlp", None)
    with pytest.raises(SettingsError, match=r"WHISPER_OTLP_ENDPOINT needs the extra otel"):
        make_tracer(GatewaySettings.read({"otlp_endpoint": "http://collector:4318"}))


def test_traces_can_be_switched_off() -> None:
    assert make_tracer(GatewaySettings.read({"otlp_endpoint": "off"})) is None
    with pytest.raises(SettingsError, match="otlp_endpoint"):
        GatewaySettings.read({"otlp_endpoint": "collector:4318"})

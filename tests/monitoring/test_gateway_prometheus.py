"""A real Prometheus reads a real gateway with the real rules; the model server is a stand-in that answers by gRPC.

So nothing of it needs a model, and nothing that TorchServe exposes is there.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts import metrics_reference
from tests.e2e.stack import Gateway, is_ready, run_gateway, wait_until
from tests.gateway.standin import DIED, StandIn
from tests.monitoring.prometheus import Prometheus, find_prometheus, run_prometheus
from tests.monitoring.queries import RULES, Query, panel_queries, rule_queries, rules
from whisper_serve.client.live import LiveSettings, listen
from whisper_serve.speech import load_audio

pytestmark = [pytest.mark.monitoring, pytest.mark.slow]

TORCHSERVE = frozenset(
    metric.name for section in ("model_metrics", "ts_metrics") for metric in metrics_reference.declared_metrics(section)
)
NOT_HERE = {
    "DCGM_": "NVIDIA's DCGM exporter needs a GPU",
    "kube_": "kube-state-metrics needs Kubernetes",
    "whisper:batch_windows:": "TorchServe's metrics",
    "whisper:window_fill:": "TorchServe's metrics",
    "whisper:tokens:": "TorchServe's metrics",
    "whisper:compute_seconds:": "TorchServe's metrics",
    "whisper:engine_real_time_factor:": "TorchServe's metrics",
    "whisper:fallbacks:": "TorchServe's metrics",
}
"""By the beginning of a metric's name, why it has no data here; and so have the metrics of TORCHSERVE. Queries of these
only have to be PromQL."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A gateway and what reads it."""

    gateway: Gateway
    prometheus: Prometheus


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """A stand-in for TorchServe, in a thread."""
    loop, server = asyncio.new_event_loop(), StandIn()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def watched(data: Path) -> Iterator[Watched]:
    program = find_prometheus()
    if program is None:
        pytest.skip("prometheus is not installed: it is Debian's package prometheus")
    with standing_in() as standin, run_gateway(standin.target.removeprefix("ipv4:")) as gateway:
        wait_until(lambda: is_ready(gateway), 60)
        with run_prometheus(program, {"gateway": gateway.url.removeprefix("http://")}, RULES) as prometheus:
            for number in (1, 2):  # A series that begins with a request shows no increase before the next.
                standin.failures.append(DIED)
                send_all(gateway, data / "en-jfk.mp3")
                wait_until(lambda least=number: seen(prometheus) >= 4 * least, 60)  # type: ignore[misc]
            yield Watched(gateway, prometheus)


def seen(prometheus: Prometheus) -> float:
    """Requests with audio that Prometheus knows of."""
    return sum(prometheus.numbers('whisper_gateway_requests_total{route=~"/v1/audio/.+"}'))


def send_all(gateway: Gateway, clip: Path) -> None:
    """A request of each kind: a text, a stream of events, live audio, and what is no audio."""
    content = clip.read_bytes()
    assert gateway.text(content).status_code == 200
    fields = {"model": "whisper-1", "stream": "true"}
    stream = gateway.http.post("/v1/audio/transcriptions", files={"file": ("clip", content)}, data=fields)
    assert "transcript.text.done" in stream.text
    audio = (load_audio(clip) * 32767).astype("<i2").tobytes()
    events = list(listen(gateway.url.replace("http", "ws"), spoken(audio), LiveSettings(language="en")))
    assert events[-1].type == "done"
    assert gateway.text(b"no audio").status_code == 400


def spoken(audio: bytes) -> Iterator[bytes]:
    """As fast as it was spoken, so that there are interim results."""
    for at in range(0, len(audio), 6400):
        time.sleep(0.2)
        yield audio[at : at + 6400]


def is_here(query: Query) -> bool:
    return not any(metric in TORCHSERVE or metric.startswith(tuple(NOT_HERE)) for metric in query.metrics)


def without_data(prometheus: Prometheus, queries: Sequence[Query], seconds: float) -> list[str]:
    """Those that have given no number when that time is over."""
    left, deadline = list(queries), time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        left = [query for query in left if not prometheus.numbers(query.text)]
        time.sleep(0.5)
    return [query.place for query in left]


def test_every_panel_of_the_gateways_has_data(watched: Watched) -> None:
    here = [query for query in panel_queries() if is_here(query)]
    assert len(here) > 60
    assert without_data(watched.prometheus, here, 60) == []


def test_every_recording_rule_of_the_gateways_has_data(watched: Watched) -> None:
    recorded = [Query(each.place, each.place) for each in rule_queries("record") if is_here(each)]
    assert len(recorded) > 20
    assert without_data(watched.prometheus, recorded, 60) == []


def test_every_rule_can_be_worked_out(watched: Watched) -> None:
    wait_until(lambda: all(rule["health"] != "unknown" for rule in watched.prometheus.rules()), 60)
    fared = watched.prometheus.rules()
    assert [(rule["name"], rule.get("lastError")) for rule in fared if rule["health"] != "ok"] == []
    assert len(fared) == len(rules("record")) + len(rules("alert"))


def test_what_is_not_here_is_promql(watched: Watched) -> None:
    elsewhere = [query for query in panel_queries() if not is_here(query)]
    used = {metric for query in elsewhere for metric in query.metrics}
    assert [each for each in NOT_HERE if not any(metric.startswith(each) for metric in used)] == []
    for query in elsewhere:
        assert watched.prometheus.get("query", query=query.text)["resultType"] == "vector"


def test_numbers_are_those_of_the_requests(watched: Watched) -> None:
    """Two rounds of a clip of 11 s as a file and as a stream, and live; a window of each round failed once."""
    one = watched.prometheus.numbers
    assert one("sum(whisper_gateway_audio_seconds_total)") == [pytest.approx(2 * (11 + 11), abs=0.2)]
    assert one("sum(whisper_gateway_live_audio_seconds_total)") == [pytest.approx(22, abs=0.5)]
    assert one('sum(whisper_gateway_rejections_total{reason="audio_decode_error"})') == [2]
    assert one('sum(whisper_gateway_windows_retried_total{reason="worker_died"})') == [2]
    assert one('count(up{app_kubernetes_io_component="gateway"} == 1)') == [1]
    assert one("whisper_gateway_addresses_ready") == [1]

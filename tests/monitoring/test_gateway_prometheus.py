"""A real Prometheus counts what a real gateway does; the model server is a stand-in that fails as it is told.

So nothing of it needs a model. What TorchServe exposes, the panels and the rules are tested on a real stack.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.recordings import chunks, pcm
from tests.e2e.stack import Gateway, is_ready, run_gateway, wait_until
from tests.gateway.standin import DIED, StandIn
from tests.monitoring.prometheus import Prometheus, find_prometheus, run_prometheus
from tests.monitoring.queries import RULES
from whisper_serve.client.live import LiveSettings, listen
from whisper_serve.speech import load_audio

pytestmark = pytest.mark.monitoring

CLIP = "en-jfk.mp3"
CLIP_SECONDS = 11


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


@pytest.fixture
def prometheus(data: Path) -> Iterator[Prometheus]:
    """It reads a gateway that was sent a request of each kind; the first window failed once."""
    program = find_prometheus()
    if program is None:
        pytest.skip("prometheus is not installed: it is Debian's package prometheus")
    with standing_in() as standin, run_gateway(standin.target.removeprefix("ipv4:")) as gateway:
        wait_until(lambda: is_ready(gateway), 60)
        with run_prometheus(program, {"gateway": gateway.url.removeprefix("http://")}, RULES) as running:
            standin.failures.append(DIED)
            send_all(gateway, data / CLIP)
            yield running


def send_all(gateway: Gateway, clip: Path) -> None:
    """A text, a stream of events, live audio, and what is no audio."""
    content = clip.read_bytes()
    assert gateway.text(content).status_code == 200
    fields = {"model": "whisper-1", "stream": "true"}
    stream = gateway.http.post("/v1/audio/transcriptions", files={"file": ("clip", content)}, data=fields)
    assert "transcript.text.done" in stream.text
    spoken = chunks(pcm(load_audio(clip)))
    events = list(listen(gateway.url.replace("http", "ws"), spoken, LiveSettings(language="en")))
    assert events[-1].type == "done"
    assert gateway.text(b"no audio").status_code == 400


def test_numbers_are_those_of_the_requests(prometheus: Prometheus) -> None:
    assert prometheus.becomes('sum(whisper_gateway_requests_total{route=~"/v1/audio/.+"})', 4, 30)
    one = prometheus.numbers
    assert one("sum(whisper_gateway_audio_seconds_total)") == [pytest.approx(2 * CLIP_SECONDS, abs=0.1)]
    assert one("sum(whisper_gateway_live_audio_seconds_total)") == [pytest.approx(CLIP_SECONDS, abs=0.2)]
    assert one('sum(whisper_gateway_rejections_total{reason="audio_decode_error"})') == [1]
    assert one('sum(whisper_gateway_windows_retried_total{reason="worker_died"})') == [1]
    assert one('count(up{app_kubernetes_io_component="gateway"} == 1)') == [1]
    assert one("whisper_gateway_addresses_ready") == [1]

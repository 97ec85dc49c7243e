"""A real Prometheus reads a real stack under Locust's load: every panel and every recording rule has data."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from loadtest.__main__ import main
from loadtest.options import read_options
from loadtest.records import Record, Results
from loadtest.run import RESULTS
from scripts import metrics_reference
from tests.e2e.recordings import chunks, pcm, wav
from tests.e2e.stack import Stack, run_stack, wait_until
from tests.monitoring.prometheus import Prometheus, find_prometheus, run_prometheus
from tests.monitoring.queries import RULES, Query, panel_queries, rule_queries, rules
from whisper_serve.client.live import LiveSettings, listen
from whisper_serve.speech import SAMPLE_RATE, Audio, load_audio

LOCUST = shutil.which(read_options([]).locust)
pytestmark = [
    pytest.mark.monitoring,
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.weights,
    pytest.mark.timeout(900),
    pytest.mark.skipif(LOCUST is None, reason="there is no .venv-loadtest: make loadtest makes it"),
]

NOT_HERE = {
    "GPU": "TorchServe measures GPUs only where there are some",
    "DCGM_": "NVIDIA's DCGM exporter needs a GPU",
    "kube_": "kube-state-metrics needs Kubernetes",
}
"""By the beginning of a metric's name, why it is not there. Queries of such metrics only have to be PromQL, and no
others are left out."""
NO_AUDIO = 'sum(whisper_gateway_rejections_total{reason="audio_decode_error"})'
SILENCE_SECONDS = 3
SPOKEN = "en-librispeech-1089-134686-0000.flac"
MOST_STREAMS = 6
ROUNDS = (1, 2)
"""A series that begins with a request shows no increase before the next one."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A stack under load and what reads it; the load's exit code, and its reports once it is over."""

    stack: Stack
    prometheus: Prometheus
    load: Future[int]
    reports: Path
    spoken_seconds: float
    """Audio of the live streams before the load."""

    def records(self, *endpoints: str) -> list[Record]:
        """What Locust noted of its requests to these endpoints, all of which must have been answered well."""
        assert self.load.result(300) == 0
        found = [each for each in Results.read(self.reports / RESULTS).records if each.endpoint in endpoints]
        assert found
        return found


@pytest.fixture(scope="module")
def watched(archive: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    program = find_prometheus()
    if program is None:
        pytest.skip("prometheus is not installed: it is Debian's package prometheus")
    reports = tmp_path_factory.mktemp("reports")
    with run_stack(archive.parent) as stack:
        targets = {"gateway": stack.url, "torchserve": stack.endpoints.metrics_url.removesuffix("/metrics")}
        addresses = {part: url.removeprefix("http://") for part, url in targets.items()}
        with run_prometheus(program, addresses, RULES) as prometheus, ThreadPoolExecutor(1) as pool:
            for number in ROUNDS:
                send_what_locust_does_not(stack)
                assert prometheus.becomes(NO_AUDIO, number, 60)
            # Under load there are no interim results: they are what is left out first.
            spoken_seconds = speak(stack, load_audio(data / SPOKEN))
            load = pool.submit(main, load_of(stack, reports))
            yield Watched(stack, prometheus, load, reports, spoken_seconds)


def load_of(stack: Stack, reports: Path) -> list[str]:
    """A user of each class for a minute. How fast the answers come is not what is tested."""
    limits = reports / "limits.yaml"
    limits.write_text("endpoints: {default: {error_share: 0, refused_share: 0}}")
    inner = ["--torchserve-url", stack.endpoints.inference_url, "--torchserve-grpc", stack.endpoints.grpc_target]
    target = ["--url", stack.url, "--grpc", stack.grpc, *inner, "--locust", str(LOCUST)]
    load = ["--time", "60s", "--peak", "6", "--thresholds", str(limits), "--reports", str(reports)]
    return [*target, *load, "--", "--longest", "12"]


def speak(stack: Stack, audio: Audio) -> float:
    """Live streams, as fast as they were spoken, until one had an interim result; the seconds of all of them.

    On a busy machine a final result may come before any interim one.
    """
    url, settings, spoken_seconds = stack.url.replace("http", "ws"), LiveSettings(language="en"), 0.0
    for _ in range(MOST_STREAMS):
        events = {event.type for event in listen(url, chunks(pcm(audio), pace=0.1), settings)}
        spoken_seconds += len(audio) / SAMPLE_RATE
        if "interim" in events:
            return spoken_seconds
    raise AssertionError(f"none of {MOST_STREAMS} live streams had an interim result")


def send_what_locust_does_not(stack: Stack) -> None:
    """Silence that is to be transcribed, and what is no audio, to the gateway and to TorchServe."""
    silence = wav(np.zeros(SILENCE_SECONDS * SAMPLE_RATE, np.float32))
    assert stack.text(silence, vad_filter="false", language="en").status_code == 200
    predictions = f"{stack.endpoints.inference_url}/predictions/whisper"
    assert httpx.post(predictions, content=b"no audio", trust_env=False, timeout=60).status_code == 400
    assert stack.text(b"no audio").status_code == 400


def test_every_panel_has_data(watched: Watched) -> None:
    here = [query for query in panel_queries() if not query.reads(NOT_HERE)]
    assert len(here) > 75
    # TorchServe measures its machine once a minute.
    assert watched.prometheus.without_data(here, 120) == []


def test_every_recording_rule_has_data(watched: Watched) -> None:
    assert not any(query.reads(NOT_HERE) for query in rule_queries("record"))
    recorded = [Query(name, name) for name in (rule["record"] for rule in rules("record"))]
    assert watched.prometheus.without_data(recorded, 60) == []


def test_every_rule_can_be_worked_out(watched: Watched) -> None:
    wait_until(lambda: all(rule["health"] != "unknown" for rule in watched.prometheus.rules()), 60)
    fared = watched.prometheus.rules()
    assert [(rule["name"], rule.get("lastError")) for rule in fared if rule["health"] != "ok"] == []
    assert len(fared) == len(rules("record")) + len(rules("alert"))


def test_what_is_not_here_is_promql(watched: Watched) -> None:
    elsewhere = [query for query in panel_queries() if query.reads(NOT_HERE)]
    assert [each for each in NOT_HERE if not any(query.reads([each]) for query in elsewhere)] == []
    for query in elsewhere:
        assert watched.prometheus.get("query", query=query.text)["resultType"] == "vector", query.place


def test_torchserve_exposes_what_is_documented(watched: Watched) -> None:
    text = httpx.get(watched.stack.endpoints.metrics_url, trust_env=False).text
    exposed = set(re.findall(r"^(\w+)\{", text, re.MULTILINE))
    engine = {metric.name for metric in metrics_reference.declared_metrics("model_metrics")}
    own = {metric.name for metric in metrics_reference.declared_metrics("ts_metrics")}
    assert exposed - engine - own == set()
    assert engine - exposed == set()


def test_requests_are_as_many_as_locust_sent(watched: Watched) -> None:
    files, calls = watched.records("rest", "streaming"), watched.records("grpc")
    answered = 'sum(whisper_gateway_requests_total{{status="{}",route=~"{}"}})'
    expected = {
        answered.format(200, "/v1/audio/transcriptions"): len(files) + len(ROUNDS),
        answered.format(400, "/v1/audio/transcriptions"): len(ROUNDS),
        answered.format("OK", "whisper[.]v1[.].+"): len(calls),
        NO_AUDIO: len(ROUNDS),
        "sum(whisper_errors_total)": len(ROUNDS),
    }
    assert [query for query, number in expected.items() if not watched.prometheus.becomes(query, number, 30)] == []


def test_audio_is_as_long_as_locust_sent(watched: Watched) -> None:
    files = sum(each.audio_seconds for each in watched.records("rest", "streaming", "grpc"))
    live = sum(each.audio_seconds for each in watched.records("live")) + watched.spoken_seconds
    expected = {
        "sum(whisper_gateway_audio_seconds_total)": files + SILENCE_SECONDS * len(ROUNDS),
        "sum(whisper_gateway_live_audio_seconds_total)": live,
    }
    # Lengths in headers of files are rounded.
    wrong = [
        query
        for query, seconds in expected.items()
        if not watched.prometheus.becomes(query, seconds, 30, within=seconds / 100)
    ]
    assert wrong == []

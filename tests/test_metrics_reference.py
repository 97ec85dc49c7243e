"""docs/metrics.md is up to date, and a running gateway exposes exactly what it says."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as families_of

from scripts import metrics_reference
from tests.gateway.deterministic import serve

UNBOUNDED = {"request_id", "client", "client_name", "user", "file", "filename", "language", "path", "key", "ip", "id"}


def test_the_reference_is_up_to_date() -> None:
    assert metrics_reference.DOCUMENT.read_text("utf-8") == metrics_reference.render(), "make metrics-docs"


def test_staleness_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics_reference, "DOCUMENT", tmp_path / "metrics.md")
    monkeypatch.setattr("sys.argv", ["metrics_reference", "--check"])
    assert metrics_reference.main() == 1
    assert "make metrics-docs" in capsys.readouterr().err


def test_a_running_gateway_exposes_exactly_what_is_documented() -> None:
    documented = {
        metric.name: metric.kind for metric in (*metrics_reference.gateway_metrics(), *metrics_reference.PROCESS)
    }
    with serve() as served:
        url, files = f"{served.url}/v1/audio/transcriptions", {"file": ("a.wav", b"audio")}
        assert httpx.post(url, files=files, data={"model": "whisper-1"}, trust_env=False).status_code == 200
        text = httpx.get(f"{served.url}/metrics", trust_env=False).text
    exposed = {}
    for family in families_of(text):
        # The creation time of each series, which this text format shows as a gauge of its own.
        if not family.name.endswith("_created"):
            exposed[family.name + "_total" * (family.type == "counter")] = family.type
    assert exposed == documented


def test_labels_of_series_are_those_documented() -> None:
    documented = {metric.name: set(metric.labels) for metric in metrics_reference.gateway_metrics()}
    with serve() as served:
        httpx.post(f"{served.url}/v1/audio/transcriptions", files={"file": ("a", b"audio")}, trust_env=False)
        text = httpx.get(f"{served.url}/metrics", trust_env=False).text
    seen = 0
    for family in families_of(text):
        for sample in family.samples:
            name = re.sub("_(bucket|sum|count)$", "", sample.name)
            if name in documented:
                seen += 1
                assert set(sample.labels) - {"le"} == documented[name], sample.name
    assert seen > 50


def test_no_label_takes_what_callers_send() -> None:
    labels = {label for group in metrics_reference.groups()[:4] for metric in group.metrics for label in metric.labels}
    assert labels & {"model", "route", "reason"}
    assert not labels & UNBOUNDED


def test_everything_has_a_meaning_and_a_unit() -> None:
    for group in metrics_reference.groups():
        for metric in group.metrics:
            assert metric.meaning.endswith("."), metric
            assert metric.unit, metric
            assert metric.kind in {"counter", "gauge", "histogram"}, metric

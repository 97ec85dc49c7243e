"""What is made from values.yaml is up to date, and what the chart says of the programs is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import chart_reference
from tests.chart.render import CHART, ROOT
from whisper_serve import __version__
from whisper_serve.gateway.metrics import Metrics
from whisper_serve.torchserve.archive import Recipe

GATEWAY_METRIC = re.compile(r"\bwhisper_gateway_\w+")


def test_readme_and_schema_are_up_to_date() -> None:
    for name, text in chart_reference.render().items():
        assert (CHART / name).read_text("utf-8") == text, f"{name} is out of date: make chart-docs"


def test_staleness_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("Chart.yaml", "values.yaml"):
        (tmp_path / name).write_text((CHART / name).read_text("utf-8"), "utf-8")
    monkeypatch.setattr(chart_reference, "CHART", tmp_path)
    monkeypatch.setattr("sys.argv", ["chart_reference", "--check"])
    assert chart_reference.main() == 1
    assert "make chart-docs" in capsys.readouterr().err


def test_every_value_is_described() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))

    def undescribed(path: str, node: dict[str, Any]) -> list[str]:
        inner = node.get("properties") or node.get("items", {}).get("properties") or {}
        if inner:
            return [each for name, child in inner.items() for each in undescribed(f"{path}.{name}", child)]
        return [] if node.get("description") or "$ref" in node else [path]

    assert undescribed("", schema) == []


def test_the_chart_is_of_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))["appVersion"] == __version__


def test_metrics_that_are_named_are_exported() -> None:
    exported = set(re.findall(r"^# TYPE (\w+)", Metrics().render().decode(), re.MULTILINE))
    exported |= {f"{name}{suffix}" for name in exported for suffix in ("_bucket", "_sum", "_count")}
    folders = (CHART / "templates", CHART / "files" / "dashboards", ROOT / "k8s")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    named = {name for path in files for name in GATEWAY_METRIC.findall(path.read_text("utf-8"))}
    assert {"whisper_gateway_queued_audio_seconds", "whisper_gateway_requests_running"} <= named
    assert named <= exported


def test_the_programs_limits_are_those_the_chart_counts_with() -> None:
    """The defaults in templates/_settings.tpl, and the end of TorchServe in its Deployment."""
    from whisper_serve.gateway.settings import GatewaySettings
    from whisper_serve.torchserve.model_archive import worker_settings
    from whisper_serve.torchserve.process import STOP_SECONDS
    from whisper_serve.torchserve.server import EXTRA_START_SECONDS

    settings = GatewaySettings.read({})
    text = (CHART / "templates" / "_settings.tpl").read_text("utf-8")
    defaults = re.search(r"\$settings := dict (.*?) -}}", text)
    assert defaults is not None
    for name, value in re.findall(r'"(\w+)" ([\d.]+)', defaults[1]):
        assert getattr(settings, re.sub("([A-Z])", lambda m: "_" + m[1].lower(), name)) == float(value)
    assert STOP_SECONDS < 30
    config = Recipe("base", Path()).config()
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    assert values["torchserve"]["startupSeconds"] > worker_settings(config).startup_timeout_s + EXTRA_START_SECONDS

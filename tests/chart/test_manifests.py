"""The plain manifests: as the chart renders them, and good input for Kustomize."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from scripts import manifests
from tests.chart.render import CASES, KUBECTL, ROOT, Rendered, load_all, render_case

pytestmark = pytest.mark.chart

K8S = ROOT / "k8s"
FOLDERS = sorted(path.parent for path in K8S.rglob("kustomization.yaml") if "loadtest" not in path.parts)
"""Of releases; `test_loadtest.py` has those that load one."""


def kustomize(folder: Path) -> Rendered:
    done = subprocess.run([str(KUBECTL), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    assert "deprecated" not in done.stderr
    return Rendered(list(load_all(done.stdout)))


def test_they_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["manifests", "--check"])
    assert manifests.main() == 0, "make manifests"


def test_staleness_is_noticed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["manifests", "--check"])
    monkeypatch.setattr(manifests, "RENDERED", {"k8s/base/whisper.yaml": "cpu"})
    assert manifests.main() == 1
    assert "make manifests" in capsys.readouterr().err


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(K8S)))
def test_kustomize_builds_each_folder(folder: Path) -> None:
    rendered = kustomize(folder)
    assert rendered.has("Deployment", "-gateway")
    assert not any("helm" in key for each in rendered.objects for key in each["metadata"].get("labels", {}))


def test_what_the_overlays_change() -> None:
    registry = kustomize(K8S / "overlays" / "own-registry")
    assert registry.container("-torchserve")["image"] == "registry.example.com/whisper-serve/torchserve:0.1.0"
    assert registry.one("Deployment", "-torchserve")["spec"]["replicas"] == 4
    assert registry.settings()["WHISPER_MAX_UPLOAD_BYTES"] == "268435456"
    limits = kustomize(K8S / "overlays" / "mig").container("-torchserve")["resources"]["limits"]
    assert [key for key in limits if "/" in key] == ["nvidia.com/mig-2g.20gb"]
    shared = kustomize(K8S / "overlays" / "shared-weights").pod("-torchserve")
    models = next(each for each in shared["volumes"] if each["name"] == "models")
    assert models == {"name": "models", "persistentVolumeClaim": {"claimName": "whisper-models"}}


def test_the_adapter_has_what_autoscalers_ask_for() -> None:
    adapter = yaml.safe_load((K8S / "cluster" / "prometheus-adapter.yaml").read_text("utf-8"))
    rules = {rule["name"]["as"]: rule["metricsQuery"] for rule in adapter["rules"]["external"]}
    autoscalers = render_case("hpa").all("HorizontalPodAutoscaler")
    metrics = [
        metric["external"]["metric"]
        for each in autoscalers
        for metric in each["spec"]["metrics"]
        if "external" in metric
    ]
    assert {metric["name"] for metric in metrics} == rules.keys()
    # Both ways scale by the same sum.
    scaled = render_case("keda").one("ScaledObject", "-torchserve")["spec"]["triggers"][0]["metadata"]["query"]
    assert re.sub(r"{[^}]*}", "{}", scaled) == re.sub(r"{[^}]*}", "{}", rules["whisper_pending_audio_seconds"])


def test_the_cases_are_real() -> None:
    assert set(manifests.RENDERED.values()) <= set(CASES)

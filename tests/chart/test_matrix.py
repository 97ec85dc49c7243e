"""Every case of ``ci/`` in every version of Kubernetes: what is rendered is what the servers take."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.chart.render import (
    CASES,
    CHART,
    HELM,
    NODE,
    PYTHON,
    TOOLS,
    VERSIONS,
    Object,
    load_all,
    render_case,
    template,
)

pytestmark = pytest.mark.chart

HERE = Path(__file__).parent
OWN_GROUPS = ("v1", "apps/", "autoscaling/", "policy/", "networking.k8s.io/")


@pytest.fixture(scope="module")
def rendered() -> dict[tuple[str, str], list[Object]]:
    """The objects of each case in each version."""
    keys = [(case, version) for case in CASES for version in VERSIONS]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda key: list(render_case(*key).objects), keys)
        return dict(zip(keys, found, strict=True))


def is_own(item: Object) -> bool:
    """Whether it is one of Kubernetes' own kinds, not a custom resource."""
    return str(item["apiVersion"]).startswith(OWN_GROUPS)


def distinct(items: list[Any]) -> list[Any]:
    return [json.loads(text) for text in dict.fromkeys(json.dumps(item, sort_keys=True) for item in items)]


def problems(command: list[str], items: list[Any]) -> list[str]:
    done = subprocess.run(command, input=json.dumps(items), capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def test_linted_without_a_warning() -> None:
    for case in CASES:
        command = [str(HELM), "lint", "--strict", f"--values={CHART}/ci/{case}-values.yaml", str(CHART)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stdout
        assert "[WARNING]" not in done.stdout


def test_every_version_takes_every_object(rendered: dict[tuple[str, str], list[Object]]) -> None:
    pairs = [(version, item) for (_, version), items in rendered.items() for item in items if is_own(item)]
    assert len(pairs) > len(CASES) * len(VERSIONS) * 5
    checker = [str(PYTHON), str(HERE / "tools" / "check_objects.py")]
    assert problems(checker, distinct(pairs)) == []
    version, item = pairs[0]
    assert len(problems(checker, [(version, item | {"specs": {}})])) == 1


def test_custom_resources_fit_their_schemas(rendered: dict[tuple[str, str], list[Object]]) -> None:
    custom = distinct([item for items in rendered.values() for item in items if not is_own(item)])
    kinds = {item["kind"] for item in custom}
    assert kinds == {"ScaledObject", "PodMonitor", "PrometheusRule", "HTTPRoute", "GRPCRoute"}
    checker = [str(NODE), str(HERE / "tools" / "check_custom.mjs"), str(TOOLS)]
    assert problems(checker, custom) == []
    scaled = next(item for item in custom if item["kind"] == "ScaledObject")
    misspelt = {**scaled, "spec": {**scaled["spec"], "minReplicas": 1}}
    wrong = {**scaled, "spec": {**scaled["spec"], "pollingInterval": "often"}}
    assert len(problems(checker, [misspelt, wrong])) == 2


def test_each_object_is_there_once_in_the_namespace(rendered: dict[tuple[str, str], list[Object]]) -> None:
    for items in rendered.values():
        names = [(item["kind"], item["metadata"]["name"]) for item in items]
        assert len(names) == len(set(names))
        assert {item["metadata"]["namespace"] for item in items} == {"speech"}


def test_no_findings_of_checkov(tmp_path: Path) -> None:
    for case in CASES:
        text = template(f"--values={CHART}/ci/{case}-values.yaml")
        assert list(load_all(text))
        (tmp_path / f"{case}.yaml").write_text(text)
    command = [str(PYTHON), "-m", "checkov.main", "--directory", str(tmp_path), "--framework", "kubernetes"]
    command += ["--compact", "--quiet", "--config-file", str(HERE / "tools" / "checkov.yaml"), "--skip-download"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout[-8000:] + done.stderr[-2000:]

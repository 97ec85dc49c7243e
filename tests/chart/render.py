"""Rendering the chart, and looking into what comes out."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "helm" / "whisper"
TOOLS: Final = Path(os.environ.get("WHISPER_CHART_TOOLS", ROOT / ".chart-tools"))
HELM: Final = TOOLS / "helm" / "helm"
KUBECTL: Final = TOOLS / "kubectl" / "kubectl"
PYTHON: Final = ROOT / ".venv-chart" / "bin" / "python"
NODE: Final = PYTHON.with_name("node")
CASES: Final = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
VERSIONS: Final = tuple(f"1.{minor}.0" for minor in range(25, 37))
NAMESPACE: Final = "speech"

Object = dict[str, Any]


class Refused(Exception):
    """Helm does not render the chart; the message is what it says."""


def template(*arguments: str, values: Mapping[str, Any] | None = None, version: str = "1.30.0") -> str:
    """What ``helm template`` makes of the chart, with `values` over its own."""
    command = [str(HELM), "template", "release", str(CHART), f"--namespace={NAMESPACE}", f"--kube-version={version}"]
    done = subprocess.run(
        [*command, "--values=-", *arguments],
        input=yaml.safe_dump(dict(values or {})),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def render(*arguments: str, values: Mapping[str, Any] | None = None, version: str = "1.30.0") -> Rendered:
    """The chart's objects."""
    return Rendered(list(load_all(template(*arguments, values=values, version=version))))


def render_case(name: str, version: str = "1.30.0") -> Rendered:
    """The objects of a case of ``ci/``."""
    return render(f"--values={CHART / 'ci' / f'{name}-values.yaml'}", version=version)


def load_all(text: str) -> Iterator[Object]:
    """The objects of some YAML documents."""
    for document in yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if document:
            yield document


class Rendered:
    """Objects, to be found by kind and the end of their name."""

    def __init__(self, objects: Sequence[Object]) -> None:
        self.objects = objects

    def all(self, kind: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, part: str = "") -> Object:
        """The only one whose name ends in `part`."""
        (found,) = [each for each in self.all(kind) if each["metadata"]["name"].endswith(part)]
        return found

    def has(self, kind: str, part: str = "") -> bool:
        return any(each["metadata"]["name"].endswith(part) for each in self.all(kind))

    def pod(self, part: str) -> Object:
        """The pod of a Deployment."""
        return dict(self.one("Deployment", part)["spec"]["template"]["spec"])

    def container(self, part: str) -> Object:
        return dict(self.pod(part)["containers"][0])

    def settings(self, part: str = "-gateway") -> dict[str, str]:
        """What its ConfigMap puts into the environment."""
        return dict(self.one("ConfigMap", part)["data"])

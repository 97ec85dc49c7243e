"""A cluster, images and weights in it, a namespace for each module, and a table of what took how long."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chart.render import HELM, KUBECTL
from tests.cluster.kube import Kube, Release
from tests.images.building import TAG, build
from tests.images.engine import Engine, find_engine
from whisper_serve.engine.weights import Weights
from whisper_serve.engine.weights.files import cache_folder

_TIMINGS = pytest.StashKey[dict[str, str]]()


@dataclass(frozen=True, slots=True)
class Images:
    """Names of images as pods have to call them, and the file of weights in the third."""

    gateway: str
    torchserve: str
    weights: str
    file: str


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TIMINGS] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured, as docs/kubernetes.md has it."""
    if timings := config.stash.get(_TIMINGS, {}):
        terminalreporter.section("measured")
        for what, value in timings.items():
            terminalreporter.line(f"| {what} | {value} |")


@pytest.fixture(scope="session")
def timings(pytestconfig: pytest.Config) -> dict[str, str]:
    """What is told at the end of the run."""
    return pytestconfig.stash[_TIMINGS]


@pytest.fixture(scope="session")
def cluster() -> None:
    """Fails with a sentence where there is none, or no tools."""
    if missing := [path.name for path in (HELM, KUBECTL) if not path.exists()]:
        pytest.fail(f"{' and '.join(missing)} missing: `make test-cluster` sets them up", pytrace=False)
    if "KUBECONFIG" not in os.environ:
        pytest.fail("KUBECONFIG has to name the cluster to test on: see docs/kubernetes.md", pytrace=False)
    if (done := Kube("default").attempt("get", "--raw=/readyz")).returncode:
        pytest.fail(f"the cluster of KUBECONFIG does not answer: {done.stderr}", pytrace=False)


@pytest.fixture(scope="session")
def images(cluster: None, base_weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Both images and one of weights, in the cluster.

    CLUSTER_LOAD is the command that brings an archive of an image into the cluster; without it the images are taken to
    be there since an earlier run.
    """
    engine = find_engine()
    (weights,) = cache_folder(None).glob(f"{base_weights.name}-*.safetensors")
    gateway, torchserve, image = (reference(engine, name) for name in ("gateway", "torchserve", "weights"))
    found = Images(gateway, torchserve, image, weights.name)
    if command := os.environ.get("CLUSTER_LOAD"):
        folder = tmp_path_factory.mktemp("images")
        build(engine, folder)
        build_weights(engine, found, weights, folder)
        for name in (found.gateway, found.torchserve, found.weights):
            bring(engine, name, folder / "image.tar", command)
    return found


def reference(engine: Engine, name: str) -> str:
    """How pods call an image of this project that was built here."""
    return f"{'' if engine.is_docker else 'localhost/'}whisper-serve/{name}:{TAG}"


def build_weights(engine: Engine, images: Images, weights: Path, folder: Path) -> None:
    """An image of the gateway's, which has `sh` and `cp`, and weights."""
    context = folder / "weights"
    context.mkdir()
    shutil.copy(weights, context)
    (context / "Dockerfile").write_text(f"FROM {images.gateway}\nCOPY --chmod=0644 {weights.name} /models/\n")
    engine("build", "--tag", images.weights, str(context))


def bring(engine: Engine, name: str, archive: Path, command: str) -> None:
    """An image into the cluster, by an archive."""
    archive.unlink(missing_ok=True)
    engine("save", *([] if engine.is_docker else ["--format=docker-archive"]), f"--output={archive}", name)
    subprocess.run([*shlex.split(command), str(archive)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def kube(cluster: None) -> Iterator[Kube]:
    """A namespace that is deleted at the end with all that is in it."""
    kube = Kube(f"whisper-test-{uuid.uuid4().hex[:6]}")
    kube("create", "namespace", kube.namespace)
    yield kube
    kube.attempt("delete", "namespace", kube.namespace, "--timeout=120s")


@pytest.fixture(scope="module")
def make_release(kube: Kube, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Release]:
    """The chart for a small cluster without GPUs, with values over those; not yet installed."""

    def make(**values: Any) -> Release:
        return Release(kube, merged(small(images), values), tmp_path_factory.mktemp("release"))

    return make


def small(images: Images) -> dict[str, Any]:
    """Values with which some pods of each part run on two cores."""
    weights = {"reference": images.weights, "file": images.file}
    gateway, torchserve = (
        dict(zip(("repository", "tag"), name.rsplit(":", 1), strict=True))
        for name in (images.gateway, images.torchserve)
    )
    return {
        "models": [{"name": "whisper", "aliases": ["whisper-1"], "source": {"image": weights}}],
        "modelCache": {"size": "1Gi"},
        "gateway": {
            "image": gateway,
            "settings": {"resolveSeconds": 2},
            "spoolSize": "1Gi",
            "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        },
        "torchserve": {
            "image": torchserve,
            "device": "cpu",
            "replicas": 2,
            "workers": 1,
            "shmSize": "64Mi",
            "tmpSize": "1Gi",
            "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "3Gi"}},
            "drain": {"dnsTtlSeconds": 5, "finishSeconds": 15},
        },
        "monitoring": {"scrapeAnnotations": True},
    }


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Maps one over the other, as helm does it.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    both = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            both[key] = merged(below[key], above[key])
    return both

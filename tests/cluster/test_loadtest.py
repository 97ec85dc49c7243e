"""The load tests of k8s/loadtest, as Jobs beside a release on a real cluster: in one pod, and in several."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from tests.chart.test_loadtest import FOLDERS
from tests.chart.test_manifests import K8S
from tests.cluster.conftest import Images, bring, reference
from tests.cluster.kube import Object, Release, wait
from tests.images.building import build
from tests.images.engine import find_engine

pytestmark = [pytest.mark.cluster, pytest.mark.weights, pytest.mark.timeout(3600)]

JOB = "whisper-loadtest"
ENDPOINTS = {"rest": "RestUser", "grpc": "GrpcUser"}
WORKERS = 2


@pytest.fixture(scope="module")
def image(images: Images, tmp_path_factory: pytest.TempPathFactory) -> str:
    """That of the load test, in the cluster."""
    engine = find_engine()
    name = reference(engine, "loadtest")
    if command := os.environ.get("CLUSTER_LOAD"):
        folder = tmp_path_factory.mktemp("loadtest")
        build(engine, folder, "image-loadtest")
        bring(engine, name, folder / "image.tar", command)
    return name


@pytest.fixture(scope="module")
def release(make_release: Callable[..., Release]) -> Iterator[Release]:
    release = make_release(gateway={"replicas": 1}, torchserve={"replicas": 1})
    release.install("--wait", "--timeout=420s")
    yield release
    release.attempt("uninstall", release.name, "--ignore-not-found")


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_job_loads_the_release_and_tells_what_came_of_it(
    release: Release, image: str, folder: str, tmp_path: Path, timings: dict[str, str]
) -> None:
    kube = release.kube
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay(release, image, folder, tmp_path)))
    kube("apply", "--kustomize", str(tmp_path))
    try:
        wait(lambda: ended(job(release, JOB)), 300, f"the end of {JOB}")
        log = kube("logs", f"job/{JOB}")
        assert job(release, JOB)["status"].get("succeeded") == 1, log
        if folder == "distributed":
            wait(lambda: ended(job(release, f"{JOB}-workers")), 60, "the end of the workers")
            assert job(release, f"{JOB}-workers")["status"]["succeeded"] == WORKERS
    finally:
        kube.attempt("delete", "--kustomize", str(tmp_path), "--timeout=60s")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in log.splitlines() if line.startswith("|")]
    counts = {row[0]: [int(cell) for cell in row[1:4]] for row in rows if row[0] in ENDPOINTS and len(row) > 6}
    assert counts.keys() == ENDPOINTS.keys()
    for answered, refused, failed in counts.values():
        assert answered > 0
        assert refused == failed == 0
    timings[f"`k8s/loadtest/{folder}`, 40 s of {WORKERS} users"] = (
        f"{sum(answered for answered, _, _ in counts.values())} requests answered"
    )


def overlay(release: Release, image: str, folder: str, at: Path) -> Object:
    """The Kustomization of a folder, for this release, with less of everything."""
    name, tag = image.rsplit(":", 1)
    arguments = {
        0: f"--url=http://{release.service}:8000",
        1: f"--grpc={release.service}:9000",
        2: f"--users={','.join(ENDPOINTS.values())}",
        4: "--time=40s",
        5: f"--peak={WORKERS}",
    }
    if folder == "distributed":
        arguments[9] = f"--expect-workers={WORKERS}"
    container = "/spec/template/spec/containers/0"
    given = {f"{container}/args/{number}": value for number, value in arguments.items()}
    patches = [patch(JOB, {f"{container}/resources/requests/cpu": "50m", **given})]
    if folder == "distributed":
        fewer = {"/spec/parallelism": WORKERS, "/spec/completions": WORKERS}
        patches.append(patch(f"{JOB}-workers", {f"{container}/resources/requests/cpu": "50m", **fewer}))
    return {
        "namespace": release.kube.namespace,
        "resources": [os.path.relpath(K8S / "loadtest" / folder, at)],
        "images": [{"name": "whisper-serve/loadtest", "newName": name, "newTag": tag}],
        "patches": patches,
    }


def patch(name: str, values: Mapping[str, object]) -> Object:
    """A patch of a Job: values in the place of those at their paths."""
    replaced = [{"op": "replace", "path": path, "value": value} for path, value in values.items()]
    return {"target": {"kind": "Job", "name": name}, "patch": json.dumps(replaced)}


def job(release: Release, name: str) -> Object:
    found: Object = json.loads(release.kube("get", "job", name, "--output=json"))
    return found


def ended(found: Object) -> bool:
    return any(each["type"] in {"Complete", "Failed"} for each in found.get("status", {}).get("conditions", []))

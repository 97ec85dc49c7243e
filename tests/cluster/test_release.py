"""A release from its installation to its end, on a real cluster, under load: nothing that is sent is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from openai import OpenAI

from tests.cluster.conftest import Images
from tests.cluster.kube import Kube, Object, Release, name_of, told, wait
from tests.cluster.sending import SAID, load, lost
from whisper_serve.client import SpeechClient
from whisper_serve.evaluation.corpus import Sample

pytestmark = [pytest.mark.cluster, pytest.mark.weights, pytest.mark.timeout(3600)]

READY_SECONDS = 420
CONFIGURED = {"gateway": "gateway.settings.drainSeconds=29", "torchserve": "torchserve.settings.threads=1"}


@pytest.fixture(scope="module")
def release(
    make_release: Callable[..., Release], timings: dict[str, str], clips: dict[str, Sample]
) -> Iterator[Release]:
    """Installed; TorchServe's pods are ready."""
    release = make_release()
    started = time.monotonic()
    release.install("--wait", f"--timeout={READY_SECONDS}s")
    timings["`helm install --wait`, 2 gateways and 2 TorchServe"] = f"{time.monotonic() - started:.0f} s"
    with release.kube.forwarding(f"service/{release.service}", 8000) as address:
        assert SAID in transcribe(address, clips["en-jfk.mp3"])
    timings["`helm install` to the first transcription"] = f"{time.monotonic() - started:.0f} s"
    yield release
    release.attempt("uninstall", release.name, "--ignore-not-found")


def transcribe(address: str, clip: Sample) -> str:
    """What OpenAI's SDK gets."""
    with OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0) as client:
        return client.audio.transcriptions.create(model="whisper-1", file=clip.path).text


def ready(kube: Kube, component: str, number: int = 2) -> bool:
    return len(kube.ready_pods(component)) == len(kube.pods(component)) == number


def test_what_a_start_consists_of(release: Release, timings: dict[str, str]) -> None:
    for component in ("gateway", "torchserve"):
        assert ready(release.kube, component)
        for pod in release.kube.pods(component):
            timings[f"a pod of {component}"] = told(pod)


def test_pods_are_confined_and_know_nothing_of_the_cluster(release: Release) -> None:
    for component in ("gateway", "torchserve"):
        name = name_of(release.kube.pods(component)[0])
        script = "id -u; touch /opt/x 2>&1; ls /var/run/secrets 2>&1; env | grep -c SERVICE_HOST"
        user, touched, secrets, links = release.kube("exec", name, "--", "sh", "-c", f"{script} || true").splitlines()
        assert user == "10001"
        assert "Read-only file system" in touched
        assert "No such file" in secrets
        # That of the API server's is always there.
        assert links == "1"


def test_helm_test_transcribes(release: Release, timings: dict[str, str]) -> None:
    started = time.monotonic()
    out = release.helm("test", release.name, "--logs", "--timeout=300s")
    timings["`helm test`"] = f"{time.monotonic() - started:.0f} s"
    assert "ask not what your country can do for you" in out
    assert "Phase:          Succeeded" in out


def test_openai_sdk_and_grpc_through_the_service(release: Release, clips: dict[str, Sample]) -> None:
    target = f"service/{release.service}"
    with release.kube.forwarding(target, 8000) as address:
        assert SAID in transcribe(address, clips["en-jfk.mp3"])
        with OpenAI(base_url=f"http://{address}/v1", api_key="none") as client:
            assert {model.id for model in client.models.list()} == {"whisper", "whisper-1"}
    with release.kube.forwarding(target, 9000) as address, SpeechClient(address) as client:
        assert SAID in client.transcribe(clips["en-jfk.mp3"].path).text


def test_an_upgrade_loses_nothing(release: Release, images: Images, timings: dict[str, str]) -> None:
    before = {name_of(pod) for part in CONFIGURED for pod in release.kube.pods(part)}
    with load(release, images.gateway, threads=2) as sending:
        started = time.monotonic()
        settings = [f"--set={each}" for each in CONFIGURED.values()]
        done = release.upgrade("--wait", f"--timeout={READY_SECONDS}s", *settings)
        assert done.returncode == 0, done.stdout + done.stderr
        timings["`helm upgrade --wait` of all pods, under load"] = f"{time.monotonic() - started:.0f} s"
        wait(lambda: all(ready(release.kube, part) for part in CONFIGURED), 120, "only new pods, and all ready")
        sending.wait_for_more()
        answers = sending.stop()
    assert lost(answers) == []
    timings["requests during that: answered, lost"] = f"{len(answers)}, 0"
    assert not before & {name_of(pod) for part in CONFIGURED for pod in release.kube.pods(part)}
    assert release.revision == 2


def test_a_bad_upgrade_is_rolled_back(release: Release, images: Images, timings: dict[str, str]) -> None:
    revision = release.revision
    with load(release, images.gateway, threads=1) as sending:
        started = time.monotonic()
        done = release.upgrade("--rollback-on-failure", "--wait", "--timeout=40s", "--set=gateway.image.tag=missing")
        assert done.returncode != 0
        timings["a bad `helm upgrade`, 40 s of which are its time limit, and its way back"] = (
            f"{time.monotonic() - started:.0f} s"
        )
        sending.wait_for_more()
        assert lost(sending.stop()) == []
    assert release.revision == revision + 2
    wait(lambda: ready(release.kube, "gateway"), 120, "the old gateways alone")
    used = {pod["spec"]["containers"][0]["image"] for pod in release.kube.pods("gateway")}
    assert used == {images.gateway}


def test_a_pod_that_is_killed_takes_nothing_with_it(release: Release, images: Images, timings: dict[str, str]) -> None:
    with load(release, images.gateway, threads=3) as sending:
        victim, _ = release.kube.ready_pods("torchserve")
        started = time.monotonic()
        release.kube("delete", "pod", name_of(victim), "--grace-period=0", "--force")
        wait(lambda: ready(release.kube, "torchserve"), READY_SECONDS, "another pod of TorchServe")
        timings["a pod of TorchServe killed: until another one is ready"] = f"{time.monotonic() - started:.0f} s"
        sending.wait_for_more()
        answers = sending.stop()
    assert lost(answers) == []
    timings["requests during that: longest"] = f"{max(each['seconds'] for each in answers):.1f} s"


def test_evictions_go_one_by_one(release: Release, images: Images) -> None:
    with load(release, images.gateway, threads=1) as sending:
        for component in ("gateway", "torchserve"):
            first, second = release.kube.ready_pods(component)
            assert evict(release.kube, first) == ""
            assert "disruption budget" in evict(release.kube, second)
            wait(partial(ready, release.kube, component), READY_SECONDS, f"two of {component} again")
            assert name_of(second) in {name_of(pod) for pod in release.kube.pods(component)}
        sending.wait_for_more()
        assert lost(sending.stop()) == []


def evict(kube: Kube, pod: Object) -> str:
    """Ask for an eviction as `kubectl drain` does; what the server has against it."""
    version = "policy/v1" if kube.minor_version >= 22 else "policy/v1beta1"
    metadata = {"name": name_of(pod), "namespace": kube.namespace}
    body: dict[str, Any] = {"apiVersion": version, "kind": "Eviction", "metadata": metadata}
    path = f"/api/v1/namespaces/{kube.namespace}/pods/{name_of(pod)}/eviction"
    return kube.attempt("create", f"--raw={path}", "--filename=-", given=body).stderr


def test_the_end_leaves_nothing(release: Release, timings: dict[str, str]) -> None:
    started = time.monotonic()
    release.helm("uninstall", release.name, "--wait", "--timeout=180s")
    # Events stay for a while; the rest is what every namespace has.
    kinds = {*release.kube("api-resources", "--namespaced", "--verbs=list", "--output=name").split()}
    kinds -= {"events", "events.events.k8s.io"}
    own = ("secret/default-token-", "serviceaccount/default", "configmap/kube-root-ca")

    def left() -> list[str]:
        found = release.kube("get", ",".join(sorted(kinds)), "--output=name", "--ignore-not-found").split()
        return [name for name in found if not name.startswith(own)]

    wait(lambda: not left(), 120, "an empty namespace")
    timings["`helm uninstall`, until the namespace is empty"] = f"{time.monotonic() - started:.0f} s"

"""TorchServe follows the audio that waits, by a HorizontalPodAutoscaler on the gateways' own metric."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.cluster.conftest import Images
from tests.cluster.kube import Kube, Object, Release, told, wait
from tests.cluster.sending import load, lost

pytestmark = [pytest.mark.cluster, pytest.mark.weights, pytest.mark.timeout(3600)]

READY_SECONDS = 600
FAST = {
    "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 2, "periodSeconds": 15}]},
    "scaleDown": {"stabilizationWindowSeconds": 15, "policies": [{"type": "Pods", "value": 2, "periodSeconds": 15}]},
}


@pytest.fixture
def release(make_release: Callable[..., Release], kube: Kube) -> Release:
    """Scaled from one pod to three by 20 seconds of audio for each."""
    if kube.attempt("get", "--raw=/apis/external.metrics.k8s.io/v1beta1").returncode:
        pytest.skip("this cluster has no external metrics: see docs/kubernetes.md for Prometheus and its adapter")
    scaling = {"minReplicas": 1, "maxReplicas": 3, "targetAudioSeconds": 20, "behavior": FAST}
    release = make_release(autoscaling={"provider": "hpa", "torchserve": scaling})
    release.install("--wait", f"--timeout={READY_SECONDS}s")
    return release


def pending(release: Release) -> float:
    """What the autoscaler sees, in seconds of audio; -1 while the metric is not there."""
    path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{release.kube.namespace}/whisper_pending_audio_seconds"
    done = release.kube.attempt("get", f"--raw={path}?labelSelector=app_kubernetes_io_instance%3D{release.name}")
    items = json.loads(done.stdout)["items"] if done.returncode == 0 else []
    return quantity(items[0]["value"]) if items else -1.0


def quantity(text: str) -> float:
    """Kubernetes' notation of a number.

    >>> quantity("66"), quantity("1500m")
    (66.0, 1.5)
    """
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def replicas(release: Release) -> int:
    found: Object = json.loads(release.kube("get", f"deployment/{release.name}-whisper-torchserve", "--output=json"))
    return int(found["spec"]["replicas"])


def test_one_three_one(release: Release, images: Images, timings: dict[str, str]) -> None:
    kube = release.kube
    wait(lambda: pending(release) == 0.0, 120, "the metric, which is 0 without requests")
    assert replicas(release) == 1
    started = time.monotonic()
    with load(release, images.gateway, threads=6) as much:
        wait(lambda: replicas(release) == 3, 120, "the autoscaler to ask for three pods")
        wait(lambda: len(kube.ready_pods("torchserve")) == 3, READY_SECONDS, "three ready pods")
        timings["much load to three ready pods"] = f"{time.monotonic() - started:.0f} s"
        last = max(kube.pods("torchserve"), key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
        timings["of that the last pod"] = told(last)
        much.wait_for_more()
        assert lost(much.stop()) == []
    eased = time.monotonic()
    with load(release, images.gateway, threads=1, name="little") as little:
        wait(lambda: replicas(release) == 1, 180, "the autoscaler to ask for one pod")
        wait(lambda: len(kube.pods("torchserve")) == 1, 180, "one pod")
        timings["little load to one pod"] = f"{time.monotonic() - eased:.0f} s"
        little.wait_for_more()
        assert lost(little.stop()) == []

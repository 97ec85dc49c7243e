"""Pods that ask for a GPU wait for one: nodes offer what they do not have, as Kubernetes lets administrators do it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.kube import Kube, Object, Release, name_of, wait

pytestmark = [pytest.mark.cluster, pytest.mark.weights, pytest.mark.timeout(1200)]

GPU = "nvidia.com/gpu"


@pytest.fixture
def node(kube: Kube) -> Iterator[str]:
    """One without GPUs, on which pods may run; what it was made to offer is taken away."""
    nodes = json.loads(kube("get", "nodes", "--output=json"))["items"]
    if any(int(each["status"]["allocatable"].get(GPU, "0")) for each in nodes):
        pytest.skip("this cluster has GPUs")
    name = name_of(nodes[0])
    yield name
    offer(kube, name, 0)


def offer(kube: Kube, node: str, number: int) -> None:
    amount = {GPU: str(number) if number else None}
    status = json.dumps({"status": {"capacity": amount, "allocatable": amount}})
    kube("patch", "node", node, "--subresource=status", "--type=merge", f"--patch={status}")


def test_a_pod_waits_for_a_gpu(make_release: Callable[..., Release], kube: Kube, node: str) -> None:
    release = make_release(torchserve={"device": "gpu", "replicas": 2})
    release.install()

    def why_not() -> list[str]:
        conditions = [
            each
            for pod in kube.pods("torchserve")
            for each in pod["status"].get("conditions", [])
            if each["type"] == "PodScheduled" and each["status"] == "False"
        ]
        return [each["message"] for each in conditions]

    wait(lambda: len(why_not()) == 2, 60, "two pods that cannot be scheduled")
    assert all(f"Insufficient {GPU}" in message for message in why_not())

    def scheduled() -> list[Object]:
        # A kubelet may set right what its node has.
        offer(kube, node, 1)
        return [pod for pod in kube.pods("torchserve") if "nodeName" in pod["spec"]]

    wait(lambda: len(scheduled()) == 1, 120, "one of them to be scheduled")
    wait(lambda: scheduled() and len(kube.ready_pods("torchserve")) == 1, 300, "it to be ready")
    assert len(scheduled()) == 1
    assert len(why_not()) == 1
    release.helm("uninstall", release.name, "--wait", "--timeout=180s")

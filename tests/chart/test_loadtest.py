"""The load test of a release as Jobs: they ask for what the release has, and the command line takes what they say."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
import yaml

from loadtest.options import Options, read_options
from tests.chart.render import ROOT, Object, Rendered, render
from tests.chart.test_manifests import K8S, kustomize

pytestmark = pytest.mark.chart

FOLDERS = ("single", "distributed")


def rendered(folder: str) -> Rendered:
    return kustomize(K8S / "loadtest" / folder)


def pod(job: Object) -> Object:
    found: Object = job["spec"]["template"]["spec"]
    return found


def options(folder: str) -> Options:
    (container,) = pod(rendered(folder).one("Job", "whisper-loadtest"))["containers"]
    return read_options(container["args"])


@pytest.mark.parametrize("folder", FOLDERS)
def test_requests_go_to_the_release(folder: str) -> None:
    asked = options(folder)
    service = kustomize(K8S / "base").one("Service", "-gateway")
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    assert asked.url is not None
    url = urlsplit(asked.url)
    assert (url.hostname, url.port) == (service["metadata"]["name"], ports["http"])
    assert asked.grpc == f"{service['metadata']['name']}:{ports['grpc']}"
    assert asked.peak >= len(asked.users) > 0


@pytest.mark.parametrize("folder", FOLDERS)
def test_pods_have_no_rights(folder: str) -> None:
    for job in rendered(folder).all("Job"):
        spec = pod(job)
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["automountServiceAccountToken"] is False
        (container,) = spec["containers"]
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"requests", "limits"} <= container["resources"].keys()
        assert job["metadata"]["namespace"] == "whisper"


def test_the_policy_that_the_docs_show_lets_them_in() -> None:
    text = (ROOT / "docs" / "loadtest.md").read_text("utf-8")
    (shown,) = (part for part in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if part.startswith("networkPolicy:"))
    policy = render(values=yaml.safe_load(shown)).one("NetworkPolicy", "-gateway")["spec"]["ingress"][0]
    selected = policy["from"][0]["podSelector"]["matchLabels"]
    for folder in FOLDERS:
        for job in rendered(folder).all("Job"):
            assert selected.items() <= job["spec"]["template"]["metadata"]["labels"].items()


def test_the_master_expects_the_workers_that_come_to_it() -> None:
    release = rendered("distributed")
    master, workers = release.one("Job", "whisper-loadtest"), release.one("Job", "-workers")
    more = options("distributed").more
    assert more == ("--master", f"--expect-workers={workers['spec']['parallelism']}")
    assert workers["spec"]["completions"] == workers["spec"]["parallelism"]
    service = release.one("Service")
    labels = master["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert not service["spec"]["selector"].items() <= workers["spec"]["template"]["metadata"]["labels"].items()
    assert f"--master-host={service['metadata']['name']}" in pod(workers)["containers"][0]["args"]
    (port,) = pod(master)["containers"][0]["ports"]
    assert (port["name"], port["containerPort"]) == (service["spec"]["ports"][0]["targetPort"], 5557)
    assert {pod(each)["containers"][0]["image"] for each in (master, workers)} == {"whisper-serve/loadtest:0.1.0"}

"""kubectl and helm as a user has them, on whatever cluster KUBECONFIG names."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import yaml

from tests.chart.render import CHART, HELM, KUBECTL

Object = dict[str, Any]
OLDEST: Final = 25
"""The minor version of Kubernetes that the chart is for."""


def wait(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Until `condition` holds; fails with `what` it was waiting for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.5)


class Kube:
    """A namespace, and kubectl in it."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def __call__(self, *arguments: str, given: Object | None = None) -> str:
        """What kubectl prints; it must succeed."""
        done = self.attempt(*arguments, given=given)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def attempt(self, *arguments: str, given: Object | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(KUBECTL), f"--namespace={self.namespace}", *arguments]
        text = None if given is None else json.dumps(given)
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=300)

    def pods(self, component: str) -> list[Object]:
        """The pods of a part that are not being stopped."""
        selector = f"--selector=app.kubernetes.io/component={component}"
        found: list[Object] = json.loads(self("get", "pods", selector, "--output=json"))["items"]
        return [each for each in found if "deletionTimestamp" not in each["metadata"]]

    def ready_pods(self, component: str) -> list[Object]:
        return [each for each in self.pods(component) if condition(each, "Ready") is not None]

    @property
    def minor_version(self) -> int:
        """Of the server's Kubernetes 1.N."""
        version = json.loads(self("get", "--raw=/version"))
        return int(re.sub(r"\D", "", version["minor"]))

    @contextmanager
    def forwarding(self, target: str, port: int) -> Iterator[str]:
        """A port of a Service or pod here, as host:port."""
        command = [str(KUBECTL), f"--namespace={self.namespace}", "port-forward", target, f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                found = re.search(r"Forwarding from (127\.0\.0\.1:\d+)", line)
                assert found, line
                yield found[1]
            finally:
                process.terminate()


def name_of(item: Object) -> str:
    return str(item["metadata"]["name"])


def condition(item: Object, kind: str) -> datetime | None:
    """Since when a condition holds, None if it does not."""
    for each in item.get("status", {}).get("conditions", []):
        if each["type"] == kind and each["status"] == "True":
            return moment(each["lastTransitionTime"])
    return None


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def told(pod: Object) -> str:
    """How long each stage of a pod's start took, of which Kubernetes tells whole seconds."""
    moments = {
        "created": moment(pod["metadata"]["creationTimestamp"]),
        "scheduled": condition(pod, "PodScheduled"),
        "weights there": condition(pod, "Initialized"),
        "started": moment(pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]),
        "ready": condition(pod, "Ready"),
    }
    times = [each for each in moments.values() if each is not None]
    assert len(times) == len(moments)
    taken = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    return ", ".join(f"{name} {seconds:.0f} s" for name, seconds in zip([*moments][1:], taken, strict=True))


class Release:
    """The chart, installed in a namespace as `name`."""

    name = "speech"

    def __init__(self, kube: Kube, values: Mapping[str, Any], folder: Path) -> None:
        self.kube = kube
        self._values = values
        self._folder = folder
        self._chart = chart_for(kube, folder)

    @property
    def service(self) -> str:
        return f"{self.name}-whisper-gateway"

    def helm(self, *arguments: str) -> str:
        """What helm prints; it must succeed."""
        done = self.attempt(*arguments)
        assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(HELM), f"--namespace={self.kube.namespace}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)

    def install(self, *arguments: str) -> None:
        self.helm("install", *self._what(), *arguments)

    def upgrade(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.attempt("upgrade", *self._what(), "--reuse-values", *arguments)

    def _what(self) -> list[str]:
        values = self._folder / "values.yaml"
        values.write_text(yaml.safe_dump(dict(self._values)))
        more = shlex.split(os.environ.get("CLUSTER_HELM_ARGS", ""))
        return [self.name, str(self._chart), f"--values={values}", *more]

    @property
    def revision(self) -> int:
        """The number of the one that is deployed."""
        told: Object = json.loads(self.helm("status", self.name, "--output=json"))
        assert told["info"]["status"] == "deployed"
        return int(told["version"])


def chart_for(kube: Kube, folder: Path) -> Path:
    """The chart; for a server older than it asks for a copy that does not ask."""
    if kube.minor_version >= OLDEST:
        return CHART
    copy = folder / "chart"
    if not copy.exists():
        shutil.copytree(CHART, copy)
        about = copy / "Chart.yaml"
        about.write_text(re.sub(r"(?m)^kubeVersion:.*\n", "", about.read_text("utf-8")))
    return copy

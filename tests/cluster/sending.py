"""Requests from inside the cluster, through the gateway's Service, while something happens to what answers them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.chart.render import CHART
from tests.cluster.kube import Kube, Release, wait

SAID: Final = "ask not what your country can do for you"


@dataclass
class Load:
    """A pod that sends recordings."""

    kube: Kube
    name: str

    def answers(self) -> list[dict[str, Any]]:
        """What came of each request so far."""
        return [json.loads(line) for line in self.kube("logs", self.name).splitlines()]

    def wait_for_more(self, number: int = 3) -> None:
        """Until so many more requests have been answered."""
        before = len(self.answers())
        wait(lambda: len(self.answers()) >= before + number, 180, "answers to requests of the load")

    def stop(self) -> list[dict[str, Any]]:
        """Let the requests that run finish; what came of all."""
        self.kube("exec", self.name, "--", "touch", "/tmp/stop")
        self.kube("wait", f"pod/{self.name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=300s")
        return self.answers()


@contextmanager
def load(release: Release, image: str, threads: int, name: str = "load") -> Iterator[Load]:
    """So many requests at a time, until the context ends."""
    kube = release.kube
    files = {"load.py": Path(__file__).with_name("load.py"), "smoke.py": CHART / "files" / "smoke.py"}
    sources = [f"--from-file={key}={path}" for key, path in files.items()]
    kube("create", "configmap", name, *sources, f"--from-file={CHART / 'files' / 'clip.mp3'}")
    url = f"http://{release.service}:8000"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "enableServiceLinks": False,
            "containers": [{
                "name": "load",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["python3", "/load/load.py", url, "/load/clip.mp3", SAID, str(threads)],
                "volumeMounts": [{"name": "files", "mountPath": "/load"}],
            }],
            "volumes": [{"name": "files", "configMap": {"name": name}}],
        },
    }  # fmt: skip
    kube("apply", "--filename=-", given=pod)
    try:
        kube("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
        sending = Load(kube, name)
        sending.wait_for_more()
        yield sending
    finally:
        kube.attempt("delete", f"pod/{name}", f"configmap/{name}", "--now")


def lost(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Requests that were not answered as they should."""
    assert answers
    return [each for each in answers if not each["good"]]

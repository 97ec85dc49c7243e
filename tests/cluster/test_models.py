"""Two models in one release: each has pods of its own, and what one lacks does not touch the other."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from openai import InternalServerError, OpenAI

from tests.cluster.conftest import Images
from tests.cluster.kube import Release, wait
from tests.cluster.sending import SAID
from whisper_serve.evaluation.corpus import Sample

pytestmark = [pytest.mark.cluster, pytest.mark.weights, pytest.mark.timeout(1200)]

READY_SECONDS = 420


def test_each_model_has_its_own_pods(
    make_release: Callable[..., Release], images: Images, clips: dict[str, Sample]
) -> None:
    source = {"image": {"reference": images.weights, "file": images.file}}
    release = make_release(
        models=[{"name": "one", "source": source}, {"name": "two", "source": source, "torchserve": {"replicas": 0}}],
        gateway={"replicas": 1, "settings": {"holdSeconds": 2}},
        torchserve={"replicas": 1},
    )
    release.install("--wait", f"--timeout={READY_SECONDS}s")
    kube = release.kube

    def scale(model: str, replicas: int) -> None:
        kube("scale", f"deployment/{release.name}-whisper-torchserve-{model}", f"--replicas={replicas}")

    with (
        kube.forwarding(f"service/{release.service}", 8000) as address,
        OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0) as client,
    ):

        def ready() -> set[str]:
            # While none is, the answer is an error.
            models = httpx.get(f"http://{address}/readyz").json().get("models", {})
            return {name for name, state in models.items() if state == "ready"}

        def heard(model: str) -> str:
            return client.audio.transcriptions.create(model=model, file=clips["en-jfk.mp3"].path).text

        assert {model.id for model in client.models.list()} == {"one", "whisper-1", "two"}
        wait(lambda: ready() == {"one"}, 60, "the gateway to know the first model")
        assert SAID in heard("one")
        with pytest.raises(InternalServerError, match="'two' is not ready"):
            heard("two")

        scale("two", 1)
        wait(lambda: ready() == {"one", "two"}, READY_SECONDS, "a pod of the second model")
        scale("one", 0)
        wait(lambda: ready() == {"two"}, 120, "the first model's pod to be gone")
        assert SAID in heard("two")
        with pytest.raises(InternalServerError, match="'one' is not ready"):
            heard("one")
    release.helm("uninstall", release.name, "--wait", "--timeout=180s")

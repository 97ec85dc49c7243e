"""Several models in a release: each has pods of its own, and shares the gateways."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.chart.render import Object, Rendered, render, render_case
from whisper_serve.gateway.settings import GatewaySettings

pytestmark = pytest.mark.chart

PARTS = {
    name: f"-torchserve-{part}"
    for name, part in (("large-v3", "large-v3"), ("Turbo_2.int8", "turbo-2-int8"), ("small", "small"))
}
LARGE, TURBO, SMALL = PARTS.values()


@pytest.fixture(scope="module")
def several() -> Rendered:
    return render_case("models")


def models(text: str) -> Rendered:
    loaded: dict[str, Any] = {"models": yaml.safe_load(text)}
    return render(values=loaded)


def names(rendered: Rendered, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What requests may call each model."""
    monkeypatch.setenv("WHISPER_MODELS", rendered.settings()["WHISPER_MODELS"])
    return [model.names for model in GatewaySettings.read({}).served]


def test_the_gateways_know_all_of_them(several: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(several, monkeypatch) == [("large-v3", "whisper-1"), ("Turbo_2.int8", "turbo"), ("small",)]
    told = json.loads(several.settings()["WHISPER_MODELS"])
    assert {model["name"]: model["torchserve"] for model in told} == {
        name: f"release-whisper{part}.speech.svc:7070" for name, part in PARTS.items()
    }


def test_each_has_objects_of_its_own(several: Rendered) -> None:
    for part in PARTS.values():
        deployment = several.one("Deployment", part)["spec"]
        own = deployment["selector"]["matchLabels"]
        assert own["app.kubernetes.io/component"] == "torchserve"
        assert own["whisper-serve/model"] == part.removeprefix("-torchserve-")
        assert own.items() <= deployment["template"]["metadata"]["labels"].items()
        assert several.one("Service", part)["spec"]["selector"] == own
        pod = several.pod(part)
        config = several.one("ConfigMap", part)["metadata"]["name"]
        assert pod["containers"][0]["envFrom"] == [{"configMapRef": {"name": config}}]
        claim = several.one("PersistentVolumeClaim", part.replace("torchserve", "models"))["metadata"]["name"]
        assert {"name": "models", "persistentVolumeClaim": {"claimName": claim}} in pod["volumes"]
        assert pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"] == own
    budgets = [each["metadata"]["name"] for each in several.all("PodDisruptionBudget")]
    assert budgets == [f"release-whisper{part}" for part in ("-gateway", LARGE, TURBO)]
    assert [several.settings(part)["WHISPER_WEIGHTS"] for part in PARTS.values()] == ["large-v3", "turbo", "small"]


def test_what_is_different_goes_over_what_all_have(several: Rendered) -> None:
    assert [several.settings(part).get("WHISPER_DTYPE") for part in PARTS.values()] == [None, "int8", None]
    assert {several.settings(part)["WHISPER_BATCH_WINDOWS"] for part in PARTS.values()} == {"48"}
    large, turbo, small = (several.container(part)["resources"] for part in PARTS.values())
    memory = {"memory": "16Gi", "ephemeral-storage": "40Gi"}
    assert large["limits"] == {**memory, "nvidia.com/gpu": "1"}
    assert turbo["limits"] == {**memory, "nvidia.com/mig-2g.20gb": "1"}
    assert small["limits"] == {**memory, "cpu": "8"}
    assert small["requests"] == {**large["requests"], "cpu": "4"}
    assert several.pod(TURBO)["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A100"}
    assert ["tolerations" in several.pod(part) for part in PARTS.values()] == [True, True, False]
    replicas = [several.one("Deployment", part)["spec"].get("replicas") for part in PARTS.values()]
    assert replicas == [None, None, 3]


def test_each_is_scaled_by_its_own_audio(several: Rendered) -> None:
    scalers = {each["spec"]["scaleTargetRef"]["name"]: each["spec"] for each in several.all("HorizontalPodAutoscaler")}
    assert list(scalers) == [f"release-whisper{part}" for part in (LARGE, TURBO)]
    found = [(each["maxReplicas"], each["metrics"][0]["external"]) for each in scalers.values()]
    assert [
        (most, metric["metric"]["selector"]["matchLabels"], metric["target"]["averageValue"]) for most, metric in found
    ] == [
        (8, {"app_kubernetes_io_instance": "release", "model": "large-v3"}, "300"),
        (20, {"app_kubernetes_io_instance": "release", "model": "Turbo_2.int8"}, "900"),
    ]


def test_one_that_goes_down_to_nothing_is_waited_for() -> None:
    rendered = render(
        values=yaml.safe_load("""
            autoscaling: {provider: keda}
            models:
              - {name: a, source: {name: base}, torchserve: {startupSeconds: 2000}}
              - {name: b, source: {name: tiny}, torchserve: {startupSeconds: 1000, autoscaling: {minReplicas: 0}}}
        """)
    )
    fewest = {each["metadata"]["name"][-1]: each["spec"]["minReplicaCount"] for each in rendered.all("ScaledObject")}
    assert fewest == {"a": 1, "b": 0}
    for each in rendered.all("ScaledObject"):
        query = each["spec"]["triggers"][0]["metadata"]["query"]
        assert query.count(f'model="{each["metadata"]["name"][-1]}"') == 2
    assert rendered.settings()["WHISPER_HOLD_SECONDS"] == "1000"


def test_all_are_behind_one_policy_one_monitor_and_one_test(several: Rendered) -> None:
    everyone = several.one("NetworkPolicy", "-torchserve")["spec"]["podSelector"]["matchLabels"]
    monitor = several.one("PodMonitor", "-torchserve")["spec"]
    assert monitor["selector"]["matchLabels"] == everyone
    assert monitor["podTargetLabels"][-1] == "whisper-serve/model"
    for part in PARTS.values():
        labels = several.one("Deployment", part)["spec"]["template"]["metadata"]["labels"]
        assert everyone.items() <= labels.items()
    (test,) = several.all("Pod")
    asked = [each for each in test["spec"]["containers"][0]["args"] if each.startswith("--model=")]
    assert asked == [f"--model={name}" for name in PARTS]


def test_pods_start_anew_for_their_own_changes_only() -> None:
    def checksums(dtype: str) -> list[str]:
        rendered = models(f"""
            - {{name: a, source: {{name: base}}}}
            - {{name: b, source: {{name: base}}, torchserve: {{settings: {{dtype: {dtype}}}}}}}
        """)
        pods: list[Object] = [rendered.one("Deployment", part)["spec"]["template"] for part in ("-a", "-b")]
        return [str(pod["metadata"]["annotations"]["checksum/config"]) for pod in pods]

    before, after = checksums("float32"), checksums("int8")
    assert before[0] == after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # What comes by itself is whose it is first, and nobody's who does not want it.
        ("[{name: a, source: {name: base}}, {name: b, source: {name: base}}]", [("a", "whisper-1", "base"), ("b",)]),
        (
            "[{name: a, source: {name: tiny}}, {name: b, aliases: [whisper-1], source: {name: base}}]",
            [("a", "tiny"), ("b", "whisper-1", "base")],
        ),
        (
            "[{name: a, source: {name: base}}, {name: base, source: {name: tiny}}]",
            [("a", "whisper-1"), ("base", "tiny")],
        ),
        ("[{name: a, aliases: [], source: {name: 'random:base'}}]", [("a", "base")]),
        ("[{name: own, aliases: [own, x, x], source: {claim: {name: c, path: p}}}]", [("own", "x")]),
    ],
)
def test_names_that_come_by_themselves(
    text: str, expected: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert names(models(text), monkeypatch) == expected


def test_a_null_takes_a_key_away() -> None:
    rendered = models("[{source: {name: base}, torchserve: {resources: {limits: {ephemeral-storage: null}}}}]")
    assert rendered.container("-torchserve")["resources"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": "1"}

"""What the chart makes of its values."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.chart.render import CASES, CHART, Object, Rendered, render, render_case
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.settings import HandlerSettings, Settings

pytestmark = pytest.mark.chart


def values(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def pods(rendered: Rendered) -> list[Object]:
    """The pods of Deployments and of the test."""
    return [each["spec"]["template"]["spec"] for each in rendered.all("Deployment")] + [
        each["spec"] for each in rendered.all("Pod")
    ]


@pytest.mark.parametrize("case", CASES)
def test_every_container_is_confined(case: str) -> None:
    for pod in pods(render_case(case)):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not container["image"].endswith(":latest")
            assert ":" in container["image"]
            assert {"requests", "limits"} <= container["resources"].keys()
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("case", CASES)
def test_the_programs_read_their_settings(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = render_case(case)
    kinds: dict[str, type[Settings]] = {"gateway": GatewaySettings, "torchserve": HandlerSettings}
    for deployment in rendered.all("Deployment"):
        kind = kinds[deployment["metadata"]["labels"]["app.kubernetes.io/component"]]
        (config,) = deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"]
        with monkeypatch.context() as patch:
            for name, value in rendered.settings(config["configMapRef"]["name"]).items():
                assert name.removeprefix("WHISPER_").lower() in kind.model_fields
                patch.setenv(name, value)
            kind.read({})


def test_settings_arrive_as_they_were_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = values("gateway: {settings: {maxUploadBytes: 3221225472, drainSeconds: 0, liveInterimSeconds: 0.25}}")
    for name, value in render(values=asked).settings().items():
        monkeypatch.setenv(name, value)
    settings = GatewaySettings.read({})
    assert (settings.max_upload_bytes, settings.drain_seconds, settings.live_interim_seconds) == (3221225472, 0, 0.25)
    assert (settings.host, settings.metrics_port) == ("0.0.0.0", 9090)
    (model,) = settings.served
    assert model.torchserve == "release-whisper-torchserve.speech.svc:7070"
    assert settings.model_names == ("whisper", "whisper-1", "large-v3")


@pytest.mark.parametrize(
    ("source", "weights", "init"),
    [
        ("{name: turbo}", "turbo", "fetch"),
        ("{name: 'random:tiny'}", "random:tiny", None),
        ("{files: [{url: 'https://h/a/my%20m.pt?x=1', sha256: SHA}]}", "/models/KEY/my m.pt", "fetch"),
        ("{files: [{url: 'https://h/a', sha256: SHA}, {url: 'https://h/b', sha256: SHA}]}", "/models/KEY", "fetch"),
        ("{claim: {name: c, path: /deep/model}}", "/source/deep/model", None),
        ("{image: {reference: 'r/m:1'}}", "/models/KEY", "copy"),
        ("{image: {reference: 'r/m:1', file: m.pt}}", "/models/KEY/m.pt", "copy"),
    ],
)
def test_where_weights_come_from(source: str, weights: str, init: str | None) -> None:
    chosen = values(f"models: [{{name: speech, source: {source.replace('SHA', 'a' * 64)}}}]")
    rendered = render(values=chosen)
    settings, pod = rendered.settings("-torchserve"), rendered.pod("-torchserve")
    key = settings["WHISPER_WEIGHTS"].split("/")[2] if "KEY" in weights else ""
    assert settings["WHISPER_WEIGHTS"] == weights.replace("KEY", key)
    assert [each["name"] for each in pod.get("initContainers", [])] == ([init] if init else [])
    mounts = {each["mountPath"]: each for each in pod["containers"][0]["volumeMounts"]}
    assert mounts["/models"]["readOnly"]
    if source == "{name: turbo}":
        assert pod["initContainers"][0]["args"] == ["fetch", "turbo", "--output=/models"]
        assert settings["WHISPER_MODEL_CACHE"] == "/models"
    elif init == "fetch":
        *urls, output = pod["initContainers"][0]["args"][1:]
        assert all(each.endswith("#sha256=" + "a" * 64) for each in urls)
        assert output == f"--output=/models/{key}"
    elif init == "copy":
        copying = pod["initContainers"][0]
        assert copying["image"] == "r/m:1"
        # Beside the image's own folder, which a volume there would hide.
        assert copying["command"][-3:-1] == [f"/cache/{key}", "/models"]
        assert {"name": "models", "mountPath": "/cache"} in copying["volumeMounts"]
    elif "claim" in source:
        assert mounts["/source"]["readOnly"]
        assert {"name": "source", "persistentVolumeClaim": {"claimName": "c", "readOnly": True}} in pod["volumes"]


def test_a_gpu_is_asked_for_by_its_name() -> None:
    container = render_case("mig").container("-torchserve")
    assert container["resources"]["limits"]["nvidia.com/mig-2g.20gb"] == "1"
    assert "--device=cpu" not in container["args"]
    pod = render_case("gpu-turbo").pod("-torchserve")
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert pod["initContainers"][0]["resources"]["limits"].keys() == {"memory", "ephemeral-storage"}
    assert {"--workers=4", "--batch-size=64"} <= set(pod["containers"][0]["args"])


def test_only_rolling_updates_say_how_they_roll() -> None:
    def strategy(rendered: Rendered, part: str = "-torchserve") -> Object:
        found: Object = rendered.one("Deployment", part)["spec"]["strategy"]
        return found

    assert strategy(render_case("mig")) == {"type": "Recreate"}
    default = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    assert strategy(render()) == default
    one = "{name: a, source: {name: base}, torchserve: {strategy: {type: Recreate}}}"
    several = render(values=values(f"models: [{one}, {{name: b, source: {{name: tiny}}}}]"))
    assert strategy(several, "-torchserve-a") == {"type": "Recreate"}
    assert strategy(several, "-torchserve-b") == default


def test_a_cpu_has_threads_by_its_limit() -> None:
    rendered = render_case("cpu")
    container = rendered.container("-torchserve")
    assert "--device=cpu" in container["args"]
    assert set(container["resources"]["limits"]) == {"cpu", "memory", "ephemeral-storage"}
    (threads,) = [each for each in container["env"] if each["name"] == "WHISPER_THREADS"]
    assert threads["valueFrom"]["resourceFieldRef"]["resource"] == "limits.cpu"
    own = "--set=torchserve.settings.threads=3"
    again = render(f"--values={CHART}/ci/cpu-values.yaml", own)
    assert "WHISPER_THREADS" not in {each["name"] for each in again.container("-torchserve")["env"]}
    assert again.settings("-torchserve")["WHISPER_THREADS"] == "3"


def test_probes_ask_who_knows() -> None:
    rendered = render()
    container = rendered.container("-torchserve")
    for probe, path in (("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        assert container[probe]["httpGet"] == {"path": path, "port": "health"}
    assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] == 900
    assert "--health-port=8083" in container["args"]
    # Requests have to come in while no model is there: they are held, and they are what starts one.
    assert rendered.container("-gateway")["readinessProbe"]["httpGet"]["path"] == "/livez"


def test_stopping_takes_as_long_as_its_parts() -> None:
    asked = values("gateway: {preStopSeconds: 7, settings: {drainSeconds: 100.5, resolveSeconds: 3}}")
    rendered = render(values=asked)
    gateway, torchserve = rendered.pod("-gateway"), rendered.pod("-torchserve")
    assert gateway["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "7"]
    assert gateway["terminationGracePeriodSeconds"] == 7 + 101 + 15
    assert torchserve["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", str(3 + 30 + 20)]
    assert torchserve["terminationGracePeriodSeconds"] == 53 + 30


def test_no_replicas_where_something_scales() -> None:
    for case, parts in (("hpa", ["-gateway", "-torchserve"]), ("keda", ["-gateway", "-torchserve"])):
        rendered = render_case(case)
        kind = "HorizontalPodAutoscaler" if case == "hpa" else "ScaledObject"
        for part in parts:
            assert "replicas" not in rendered.one("Deployment", part)["spec"]
            target = rendered.one(kind, part)["spec"]["scaleTargetRef"]
            assert target["name"] == rendered.one("Deployment", part)["metadata"]["name"]
    assert render().one("Deployment", "-torchserve")["spec"]["replicas"] == 1
    assert not render().has("ScaledObject")


def test_pods_are_scaled_by_audio_that_waits_or_is_in_work() -> None:
    scaled = render_case("keda").one("ScaledObject", "-torchserve")["spec"]
    labels = '{namespace="speech",app_kubernetes_io_instance="release",app_kubernetes_io_component="gateway",'
    labels += 'model="whisper"}'
    (trigger,) = scaled["triggers"]
    assert trigger["metadata"]["query"] == (
        f"sum(whisper_gateway_queued_audio_seconds{labels}) + sum(whisper_gateway_in_flight_audio_seconds{labels})"
    )
    assert (trigger["metadata"]["threshold"], trigger["metadata"]["activationThreshold"]) == ("300", "0")
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (0, 20)
    (metric,) = render_case("hpa").one("HorizontalPodAutoscaler", "-torchserve")["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == "whisper_pending_audio_seconds"
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "300"}


def test_scaling_to_nothing_holds_the_first_request_for_a_start() -> None:
    settings = render_case("keda").settings()
    assert (settings["WHISPER_HOLD_SECONDS"], settings["WHISPER_REQUEST_TIMEOUT"]) == ("900", "1500")
    own = render_case("everything-on").settings()
    assert (own["WHISPER_HOLD_SECONDS"], own["WHISPER_REQUEST_TIMEOUT"]) == ("1200", "2400")


@pytest.mark.parametrize(
    ("size", "most"), [("10Gi", 10_200_547_328), ("1.5Gi", 1_530_082_099), ("500M", 475_000_000), ("100k", 95_000)]
)
def test_uploads_stop_before_the_pod_would_be_evicted(size: str, most: int) -> None:
    rendered = render(values={"gateway": {"spoolSize": size}})
    assert rendered.settings()["WHISPER_MAX_SPOOL_BYTES"] == str(most)


def test_limits_hold_on_the_whole_way() -> None:
    rendered = render_case("ingress")
    http, rpc = rendered.one("Ingress", "release-whisper"), rendered.one("Ingress", "-grpc")
    notes = http["metadata"]["annotations"]
    prefix = "nginx.ingress.kubernetes.io/"
    assert notes[f"{prefix}proxy-body-size"] == rendered.settings()["WHISPER_MAX_UPLOAD_BYTES"] == "2147483648"
    assert notes[f"{prefix}proxy-read-timeout"] == "1830"
    assert notes["cert-manager.io/cluster-issuer"] == "letsencrypt"
    assert rpc["metadata"]["annotations"][f"{prefix}backend-protocol"] == "GRPC"
    live, others = render_case("routes").one("HTTPRoute")["spec"]["rules"]
    assert live["timeouts"]["request"] == "0s"
    assert others["timeouts"]["request"] == "1230s"


def test_only_the_gateway_reaches_torchserve_and_only_monitoring_the_metrics() -> None:
    rendered = render()
    gateway, torchserve = (rendered.one("NetworkPolicy", part)["spec"] for part in ("-gateway", "-torchserve"))
    rpc, metrics = torchserve["ingress"]
    gateway_labels = rendered.one("Deployment", "-gateway")["spec"]["selector"]["matchLabels"]
    assert rpc == {
        "ports": [{"port": "grpc", "protocol": "TCP"}],
        "from": [{"podSelector": {"matchLabels": gateway_labels}}],
    }
    assert metrics["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert "from" not in gateway["ingress"][0]
    assert [port["port"] for port in gateway["ingress"][0]["ports"]] == ["http", "grpc"]
    assert gateway["ingress"][1] == {**metrics, "ports": [{"port": "metrics", "protocol": "TCP"}]}
    # Nobody may: no rule at all rather than one for everybody.
    nobody = render(values=values("networkPolicy: {monitoringFrom: []}")).one("NetworkPolicy", "-torchserve")
    assert len(nobody["spec"]["ingress"]) == 1


def test_the_test_reaches_the_gateway_whoever_else_may() -> None:
    def peers(*arguments: str) -> list[Object]:
        rendered = render(f"--values={CHART}/ci/ingress-values.yaml", *arguments)
        found: list[Object] = rendered.one("NetworkPolicy", "-gateway")["spec"]["ingress"][0]["from"]
        return found

    asked, test = peers()
    assert asked == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}
    (pod,) = render_case("ingress").all("Pod")
    selected = test["podSelector"]["matchLabels"]
    assert selected["app.kubernetes.io/component"] == "test"
    assert selected.items() <= pod["metadata"]["labels"].items()
    assert peers("--set=test.enabled=false") == [asked]


def test_the_service_of_torchserve_is_headless_and_selects_it_alone() -> None:
    rendered = render()
    service = rendered.one("Service", "-torchserve")["spec"]
    assert service["clusterIP"] == "None"
    assert service["selector"] == rendered.one("Deployment", "-torchserve")["spec"]["selector"]["matchLabels"]
    names = {port["name"]: port["port"] for port in rendered.one("Service", "-gateway")["spec"]["ports"]}
    assert names == {"http": 8000, "grpc": 9000}


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_metrics_of_the_gateway_are_found_whatever_its_service_is(kind: str) -> None:
    asked = f"{{gateway: {{service: {{type: {kind}}}}}, monitoring: {{enabled: true}}}}"
    rendered = render(values=values(asked))
    spec = rendered.one("PodMonitor", "-gateway")["spec"]
    labels = rendered.one("Deployment", "-gateway")["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert {"app.kubernetes.io/instance", "app.kubernetes.io/component"} <= set(spec["podTargetLabels"]) & set(labels)
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in rendered.container("-gateway")["ports"]}
    # Nobody else is shown them.
    assert rendered.one("Service", "-gateway")["spec"]["type"] == kind
    assert "metrics" not in {port["name"] for port in rendered.one("Service", "-gateway")["spec"]["ports"]}


def test_changed_settings_start_pods_anew() -> None:
    def checksum(*arguments: str) -> str:
        template = render(*arguments).one("Deployment", "-gateway")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert checksum() == checksum("--set=torchserve.replicas=3")
    assert checksum() != checksum("--set=gateway.settings.drainSeconds=31")


def test_keys_come_from_a_secret() -> None:
    made = render_case("routes")
    (secret,) = made.all("Secret")
    assert list(secret["data"]) == ["keys.jsonl"]
    volume = next(each for each in made.pod("-gateway")["volumes"] if each["name"] == "keys")
    assert volume["secret"]["secretName"] == secret["metadata"]["name"]
    assert made.settings()["WHISPER_KEYS_FILE"] == "/etc/whisper/keys/keys.jsonl"
    (test,) = made.all("Pod")
    assert "--key-file=/key/key" in test["spec"]["containers"][0]["args"]
    assert {"name": "key", "secret": {"secretName": "whisper-test-key", "defaultMode": 0o440}} in test["spec"][
        "volumes"
    ]
    existing = render_case("ingress")
    assert not existing.has("Secret")
    assert "--refused" in existing.all("Pod")[0]["spec"]["containers"][0]["args"]


def test_metrics_are_found_with_the_labels_that_scaling_looks_for() -> None:
    rendered = render_case("monitoring")
    for part in ("-gateway", "-torchserve"):
        spec = rendered.one("PodMonitor", part)["spec"]
        assert spec["podTargetLabels"][:2] == ["app.kubernetes.io/instance", "app.kubernetes.io/component"]
        assert spec["podMetricsEndpoints"][0]["port"] == "metrics"
    for part, port in (("-gateway", 9090), ("-torchserve", 8082)):
        notes = rendered.one("Deployment", part)["spec"]["template"]["metadata"]["annotations"]
        assert notes["prometheus.io/port"] == str(port)
        ports = {each["name"]: each["containerPort"] for each in rendered.container(part)["ports"]}
        assert ports["metrics"] == port
    rules = [rule for group in rendered.one("PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    alerts = [rule for rule in rules if "alert" in rule]
    assert {rule["labels"]["team"] for rule in alerts} == {"speech"}
    assert {rule["labels"]["severity"] for rule in alerts} == {"critical", "warning"}
    for rule in alerts:
        page = f"https://git.example.com/speech/whisper-serve/docs/runbooks/{rule['alert']}.md"
        assert rule["annotations"]["runbook_url"] == page
    text = json.dumps(rules)
    assert 'namespace=\\"speech\\",app_kubernetes_io_instance=\\"release\\"' in text
    assert "namespace=~" not in text
    assert rendered.settings()["WHISPER_OTLP_ENDPOINT"] == "http://collector.monitoring:4318"
    assert rendered.settings()["WHISPER_TRACE_RATIO"] == "0.1"
    for text in rendered.one("ConfigMap", "-dashboards")["data"].values():
        assert json.loads(text)["panels"]


def test_evictions_are_bounded_and_the_sick_may_go() -> None:
    for part in ("-gateway", "-torchserve"):
        spec = render().one("PodDisruptionBudget", part)["spec"]
        assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert "unhealthyPodEvictionPolicy" not in render(version="1.25.0").one("PodDisruptionBudget", "-gateway")["spec"]


def test_the_test_leaves_nothing_behind() -> None:
    hooks = [each for each in render().objects if "helm.sh/hook" in each["metadata"].get("annotations", {})]
    assert {each["kind"] for each in hooks} == {"ConfigMap", "Pod"}
    for each in hooks:
        policy = each["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert policy == "before-hook-creation,hook-succeeded"


def test_a_claim_is_shared_and_outlives_the_release() -> None:
    rendered = render_case("gpu-turbo")
    claim = rendered.one("PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    models = next(each for each in rendered.pod("-torchserve")["volumes"] if each["name"] == "models")
    assert models["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    mount = next(each for each in rendered.container("-torchserve")["volumeMounts"] if each["name"] == "models")
    assert mount["readOnly"]
    existing = render_case("everything-on")
    assert not existing.has("PersistentVolumeClaim")

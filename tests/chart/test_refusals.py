"""Values that do not go together are refused with a sentence that says what to do."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.chart.render import Refused, template

pytestmark = pytest.mark.chart

KEYS = '{"id": "3f", "label": "", "salt": "0d", "hash": "9b"}'
MODEL = "models: [{name: whisper, source: %s}]"
ONE_NODE = "modelCache: {persistence: {enabled: true, accessModes: [ReadWriteOnce]}}"
TWO = "models: [{name: %s, source: {name: base}}, {name: %s, source: {name: tiny}, torchserve: %s}]"
REFUSED = [
    # By the templates.
    (MODEL % "{}", "says nothing: set one of name, files, claim and image"),
    (MODEL % "{name: base, claim: {name: c, path: p}}", "has name and claim: set only one"),
    (MODEL % "{claim: {name: models}}", "source.claim.path is missing"),
    ("apiKeys: {enabled: true}", "needs apiKeys.existingSecret, or the file"),
    ("apiKeys: {enabled: true, existingSecret: a, file: '{}'}", "an existingSecret and a file"),
    (f"apiKeys: {{enabled: true, file: '{KEYS}'}}", "line 1 has no created"),
    ("apiKeys: {enabled: true, file: 'sk-secret'}", "line 1 has no id"),
    ("autoscaling: {provider: hpa, torchserve: {minReplicas: 0}}", "only with autoscaling.provider: keda"),
    ("autoscaling: {provider: hpa, torchserve: {minReplicas: 9}}", "more than its maxReplicas"),
    ("gateway: {autoscaling: {enabled: true}}", "needs autoscaling.provider"),
    ("{autoscaling: {provider: hpa}, gateway: {autoscaling: {enabled: true, minReplicas: 20}}}", "more than its max"),
    (
        "{autoscaling: {provider: hpa}, gateway: {autoscaling: {enabled: true}, resources: {requests: {cpu: null}}}}",
        "needs gateway.resources.requests.cpu",
    ),
    (
        "{autoscaling: {provider: keda, torchserve: {minReplicas: 0}}, gateway: {settings: {holdSeconds: 0}}}",
        "holdSeconds is too short",
    ),
    ("gateway: {spoolSize: 10Xi}", "10Xi is no size: write it as 10Gi"),
    ("gateway: {settings: {requestTimeout: 60}}", "requestTimeout is less than holdSeconds"),
    (
        f"{{torchserve: {{replicas: 2}}, {ONE_NODE}}}",
        "needs ReadWriteMany",
    ),
    ("torchserve: {device: cpu}", "needs torchserve.resources.limits.cpu"),
    ("httpRoute: {enabled: true}", "needs httpRoute.parentRefs"),
    ("grpcRoute: {enabled: true}", "needs grpcRoute.parentRefs"),
    ("{gateway: {grpc: false}, grpcRoute: {enabled: true, parentRefs: [{name: g}]}}", "need gateway.grpc: true"),
    ("ingress: {enabled: true, grpc: {enabled: true}}", "needs TLS"),
    (TWO % ("a", "b, aliases: [c, a]", "{}"), "models[0] and models[1] are both called a"),
    (TWO % ("a", "a", "{}"), "models[0] and models[1] are both called a"),
    (TWO % ("A.b", "a_b", "{}"), "both make objects called torchserve-a-b: change one of them"),
    (TWO % ("a", "b" * 60, "{}"), "models[1].name is too long for names of objects"),
    (TWO % ("a", "b", "{device: cpu}"), "sets the threads of its workers (model b)"),
    (f"{{autoscaling: {{provider: hpa}}, {TWO % ('a', 'b', '{autoscaling: {minReplicas: 0}}')}}}", "keda (model b)"),
    (
        f"{{autoscaling: {{provider: hpa}}, {TWO % ('a', 'b', '{autoscaling: {minReplicas: 9}}')}}}",
        "Replicas (model b)",
    ),
    (
        f"{{{ONE_NODE}, {TWO % ('a', 'b', '{replicas: 2}')}}}",
        "several pods (model b)",
    ),
    # By the schema, which names the key.
    (TWO % ("a", "b", "{replica: 2}"), "/models/1/torchserve"),
    (TWO % ("a", "b", "{gpu: {count: 0}}"), "/models/1/torchserve/gpu/count"),
    (TWO % ("a", "b", "{autoscaling: {maxReplicas: many}}"), "/models/1/torchserve/autoscaling/maxReplicas"),
    (TWO % ("a", "b-", "{}"), "/models/1/name"),
    ("models: []", "/models"),
    (MODEL % "{name: huge}", "/models/0/source/name"),
    (MODEL % "{files: [{url: 'https://h/m.pt'}]}", "/models/0/source/files/0"),
    (MODEL % "{files: [{url: 'https://h/m.pt', sha256: abc}]}", "/models/0/source/files/0/sha256"),
    ("gateway: {settings: {holdsSeconds: 1}}", "holdsSeconds"),
    ("gateway: {settings: {drainSeconds: -1}}", "/gateway/settings/drainSeconds"),
    ("gateway: {settings: {keysFile: /etc/passwd}}", "keysFile"),
    ("torchserve: {settings: {dtype: float8}}", "/torchserve/settings/dtype"),
    ("torchserve: {gpu: {resource: gpu}}", "/torchserve/gpu/resource"),
    ("torchserve: {device: tpu}", "/torchserve/device"),
    ("gateway: {replicas: -1}", "/gateway/replicas"),
    ("gateway: {image: {digest: sha256:1}}", "/gateway/image/digest"),
    ("autoscaling: {provider: knative}", "/autoscaling/provider"),
    ("gatway: {}", "gatway"),
]


@pytest.mark.parametrize(("values", "said"), REFUSED)
def test_refused_with_a_sentence(values: str, said: str) -> None:
    loaded: dict[str, Any] = yaml.safe_load(values)
    with pytest.raises(Refused) as refused:
        template(values=loaded)
    # Helm breaks long lines of a schema's error nowhere, and says where in the values it is.
    assert said in str(refused.value).replace("'", "").replace('"', "") or said in str(refused.value)


def test_an_old_cluster_is_refused() -> None:
    with pytest.raises(Refused, match=r"1\.25"):
        template(version="1.24.0")

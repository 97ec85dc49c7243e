"""Writes docs/metrics.md: every metric, from the places where they are declared.

    python -m scripts.metrics_reference           # writes it
    python -m scripts.metrics_reference --check   # only says whether it is up to date

The gateway's are those that `whisper_serve.gateway.metrics` makes; TorchServe's and the handler's are those of
model_store/metrics.yaml, where the comment above a metric is its meaning.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import yaml

from scripts.generated import ROOT, run
from whisper_serve.gateway.metrics import Metrics

DOCUMENT: Final = ROOT / "docs" / "metrics.md"
DECLARED: Final = ROOT / "model_store" / "metrics.yaml"
HISTOGRAM_SUFFIXES: Final = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the reference; the name is that of the series, but a histogram's is without its suffixes."""

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names that queries may use."""
        return tuple(self.name + suffix for suffix in HISTOGRAM_SUFFIXES) if self.kind == "histogram" else (self.name,)


@dataclass(frozen=True, slots=True)
class Group:
    """Metrics of one source, and what is to be said of all of them."""

    title: str
    text: str
    metrics: tuple[Metric, ...]


PROCESS: Final = (
    Metric("process_cpu_seconds_total", "counter", "seconds", (), "CPU time that the gateway has used."),
    Metric("process_resident_memory_bytes", "gauge", "bytes", (), "Memory of the gateway."),
    Metric("process_virtual_memory_bytes", "gauge", "bytes", (), "Its address space."),
    Metric("process_start_time_seconds", "gauge", "seconds", (), "When it began, since 1970."),
    Metric("process_open_fds", "gauge", "count", (), "File descriptors that it has open."),
    Metric("process_max_fds", "gauge", "count", (), "File descriptors that it may have open."),
)
"""prometheus_client's, of the gateway's process."""

PROMETHEUS: Final = (Metric("up", "gauge", "0 or 1", ("job", "instance"), "Whether the last scrape succeeded."),)

KUBERNETES: Final = (
    Metric(
        "kube_deployment_status_replicas_available",
        "gauge",
        "count",
        ("namespace", "deployment"),
        "Pods that are ready.",
    ),
    Metric("kube_deployment_spec_replicas", "gauge", "count", ("namespace", "deployment"), "Pods that are wanted."),
    Metric(
        "kube_pod_container_status_restarts_total",
        "counter",
        "count",
        ("namespace", "pod", "container"),
        "Restarts of a container.",
    ),
    Metric(
        "kube_pod_container_status_waiting_reason",
        "gauge",
        "0 or 1",
        ("namespace", "pod", "container", "reason"),
        "Why a container does not run.",
    ),
    Metric(
        "kube_horizontalpodautoscaler_status_current_replicas",
        "gauge",
        "count",
        ("namespace", "horizontalpodautoscaler"),
        "Pods that there are.",
    ),
    Metric(
        "kube_horizontalpodautoscaler_status_desired_replicas",
        "gauge",
        "count",
        ("namespace", "horizontalpodautoscaler"),
        "Pods that the autoscaler wants. KEDA makes such an autoscaler too.",
    ),
    Metric(
        "kube_horizontalpodautoscaler_spec_max_replicas",
        "gauge",
        "count",
        ("namespace", "horizontalpodautoscaler"),
        "Pods that it may have.",
    ),
)

DCGM: Final = (
    Metric("DCGM_FI_DEV_GPU_UTIL", "gauge", "percent", ("gpu", "pod"), "Use of a GPU."),
    Metric("DCGM_FI_DEV_FB_USED", "gauge", "MiB", ("gpu", "pod"), "A GPU's memory in use."),
    Metric("DCGM_FI_DEV_FB_FREE", "gauge", "MiB", ("gpu", "pod"), "A GPU's memory that is free."),
    Metric("DCGM_FI_DEV_POWER_USAGE", "gauge", "watts", ("gpu", "pod"), "What a GPU draws."),
    Metric("DCGM_FI_DEV_GPU_TEMP", "gauge", "°C", ("gpu", "pod"), "A GPU's temperature."),
    Metric("DCGM_FI_DEV_XID_ERRORS", "gauge", "code", ("gpu", "pod"), "The last XID error; 0: there was none."),
)


def gateway_metrics() -> tuple[Metric, ...]:
    """All that the gateway itself counts."""
    described = Metrics().families.described
    return tuple(Metric(each.name, each.kind, _unit(each.name), each.labels, each.text) for each in described)


def _unit(name: str) -> str:
    name = name.removesuffix("_total")
    if "_seconds" in name:
        return "seconds of audio" if "audio_seconds" in name else "seconds"
    return "bytes" if name.endswith("_bytes") else "ratio" if name.endswith("_factor") else "count"


def declared_metrics(section: str, path: Path = DECLARED) -> tuple[Metric, ...]:
    """Those of a section of metrics.yaml: ``ts_metrics`` or ``model_metrics``."""
    text = path.read_text("utf-8")
    comments = dict(_comments(text.splitlines()))
    extra = ("Hostname",) if section == "model_metrics" else ()
    return tuple(
        Metric(item["name"], kind, _declared_unit(item), (*item["dimensions"], *extra), comments[item["name"]])
        for kind, items in yaml.safe_load(text)[section].items()
        for item in items
    )


def _comments(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names of metrics with the comment above each."""
    for above, line in pairwise(lines):
        if line.strip().startswith("- {name: ") and above.strip().startswith("#"):
            yield line.split("{name: ")[1].split(",")[0], above.strip().lstrip("# ")


def _declared_unit(item: dict[str, Any]) -> str:
    unit = str(item["unit"])
    if "audio_seconds" in item["name"]:
        return "seconds of audio"
    return {"ms": "milliseconds"}.get(unit, unit.lower())


def groups() -> tuple[Group, ...]:
    """All metrics in the reference's order."""
    return (
        Group("Gateway", "At `/metrics` of the gateway; with `WHISPER_METRICS_PORT` on that port.", gateway_metrics()),
        Group("Gateway's process", "prometheus_client's, at the same place. Linux only.", PROCESS),
        Group(
            "Engine",
            "What the handler counts, at `/metrics` on TorchServe's port 8082.",
            declared_metrics("model_metrics"),
        ),
        Group("TorchServe", "TorchServe's own, at the same place.", declared_metrics("ts_metrics")),
        Group("Prometheus", "Prometheus makes it for each target.", PROMETHEUS),
        Group("Kubernetes", "From kube-state-metrics, where it runs. Dashboards and alerts use these.", KUBERNETES),
        Group("GPUs", "From NVIDIA's DCGM exporter, where it runs. Dashboards and alerts use these.", DCGM),
    )


def series() -> frozenset[str]:
    """All names that a query may use."""
    return frozenset(name for group in groups() for metric in group.metrics for name in metric.series)


def render() -> str:
    """The text of docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "Everything that this project exposes to Prometheus, and what of others' its dashboards and alerts use.",
        "`make metrics-docs` makes this file from the sources. What to do with them: [operations.md](operations.md).",
        "",
        "No label has a value of a caller's: routes, statuses, formats, models and reasons are this project's own, and",
        "a model's name is one from the settings. A histogram has the series `…_bucket`, `…_sum` and `…_count`.",
        "",
    ]
    for group in groups():
        lines += [f"## {group.title}", "", group.text, "", "| name | type | unit | labels | meaning |"]
        lines += ["| --- | --- | --- | --- | --- |", *map(_row, group.metrics), ""]
    return "\n".join(lines)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.meaning} |"


def main() -> int:
    return run("Write docs/metrics.md.", {DOCUMENT: render()}, "metrics-docs")


if __name__ == "__main__":
    sys.exit(main())

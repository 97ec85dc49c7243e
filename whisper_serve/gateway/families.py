"""Families of metrics, all of which are called whisper_gateway_…."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCIES: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Seconds, to an hour: long audio takes long."""
REAL_TIME_FACTORS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)
"""Seconds of work for each second of audio."""


def counter(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Counter:
    return Counter(f"whisper_gateway_{name}", text, labels, registry=registry)


def gauge(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"whisper_gateway_{name}", text, labels, registry=registry)


def histogram(registry: CollectorRegistry, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
    return Histogram(f"whisper_gateway_{name}", text, labels, buckets=buckets, registry=registry)

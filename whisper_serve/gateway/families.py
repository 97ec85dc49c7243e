"""Families of metrics, all of which are called whisper_gateway_…."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCIES: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Seconds, to an hour: long audio takes long."""
REAL_TIME_FACTORS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)
"""Seconds of work for each second of audio."""
PREFIX: Final = "whisper_gateway_"


@dataclass(frozen=True, slots=True)
class Family:
    """What the reference says of a family; a counter's name ends in ``_total``, as Prometheus reads it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


class Families:
    """Makes families in one registry, and remembers what they are for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.described: list[Family] = []

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """What only grows; the name is without ``_total``."""
        self._describe(f"{name}_total", "counter", labels, text)
        return Counter(PREFIX + name, text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """What is so now."""
        self._describe(name, "gauge", labels, text)
        return Gauge(PREFIX + name, text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        """How often which value was seen; `buckets` are upper bounds."""
        self._describe(name, "histogram", labels, text)
        return Histogram(PREFIX + name, text, labels, buckets=buckets, registry=self.registry)

    def _describe(self, name: str, kind: str, labels: tuple[str, ...], text: str) -> None:
        self.described.append(Family(PREFIX + name, kind, labels, text))

"""How much quantities of processes grow: straight lines through what was sampled after warm-up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, TypeAlias

import numpy as np

from loadtest.records import Trend
from loadtest.samples import Sample

Point: TypeAlias = tuple[float, float]
"""Hours since the sampling began, and a value."""
WARM_UP: Final = 0.25
"""Share of a run in which caches fill."""
SPANS: Final = 30
"""Neighbouring samples are alike: means of so many spans are fitted, or the fit would seem surer than it is."""
LEAST_SPANS: Final = 8
SURE: Final = 1.96
"""Standard errors to each side in which 95 % of a normal distribution lie."""


def trends(samples: Sequence[Sample], cycle: float | None = None) -> list[Trend]:
    """A trend for each quantity of each process that was sampled often enough after warm-up.

    Args:
        cycle: seconds from rest to rest, where the load rests: of each cycle the least counts.
    """
    end = max((sample.seconds for sample in samples), default=0.0)
    series: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        if sample.seconds >= WARM_UP * end:
            series.setdefault((sample.process, sample.quantity), []).append(sample)
    points = {name: _points(each, cycle) for name, each in sorted(series.items())}
    return [fitted(series[name], each) for name, each in points.items() if len(each) >= LEAST_SPANS]


def fitted(series: Sequence[Sample], points: Sequence[Point]) -> Trend:
    """The line through points of one quantity, by least squares; at least `LEAST_SPANS` of them."""
    hours, values = np.asarray(points, dtype=np.float64).T
    (slope, _), covariance = np.polyfit(hours, values, 1, cov=True)
    mean = float(values.mean())
    # Of what is hardly there, such as no file or one, a percentage says nothing: of one at least.
    percent = 100 / max(mean, 1.0)
    first = series[0]
    span = (series[-1].seconds - first.seconds) / 3600
    uncertainty = SURE * float(np.sqrt(max(0.0, covariance[0][0])))
    return Trend(first.process, first.quantity, mean, float(slope) * percent, uncertainty * percent, span)


def _points(series: Sequence[Sample], cycle: float | None) -> list[Point]:
    """Hours and value of each cycle's least sample, or the means of spans of the same length."""
    if cycle is None:
        pairs = [(sample.seconds / 3600, sample.value) for sample in series]
        spans = np.array_split(np.asarray(pairs, dtype=np.float64), min(SPANS, len(pairs)))
        return [(float(hours), float(value)) for hours, value in (span.mean(axis=0) for span in spans)]
    first, last = series[0].seconds, series[-1].seconds
    whole = [sample for sample in series if sample.seconds < last - (last - first) % cycle]
    cycles = groupby(whole, key=lambda sample: int((sample.seconds - first) // cycle))
    least = [min(each, key=attrgetter("value")) for _, each in cycles]
    return [(sample.seconds / 3600, sample.value) for sample in least]

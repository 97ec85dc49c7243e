"""How much quantities of processes grow: straight lines through what was sampled after warm-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from loadtest.records import Trend
from loadtest.samples import Sample

WARM_UP: Final = 0.25
"""Share of a run in which caches fill."""
SPANS: Final = 30
"""Neighbouring samples are alike: means of so many spans are fitted, or the fit would seem surer than it is."""
LEAST_SPANS: Final = 8
SURE: Final = 1.96
"""Standard errors to each side in which 95 % of a normal distribution lie."""


def trends(samples: Sequence[Sample]) -> list[Trend]:
    """A trend for each quantity of each process that was sampled often enough after warm-up."""
    end = max((sample.seconds for sample in samples), default=0.0)
    series: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        if sample.seconds >= WARM_UP * end:
            series.setdefault((sample.process, sample.quantity), []).append(sample)
    return [fitted(each) for _, each in sorted(series.items()) if len(each) >= LEAST_SPANS]


def fitted(series: Sequence[Sample]) -> Trend:
    """The line through samples of one quantity, by least squares; at least `LEAST_SPANS` of them."""
    spans = min(SPANS, len(series))
    hours = _means([sample.seconds / 3600 for sample in series], spans)
    values = _means([sample.value for sample in series], spans)
    (slope, _), covariance = np.polyfit(hours, values, 1, cov=True)
    mean = float(values.mean())
    # Of what is hardly there, such as no file or one, a percentage says nothing: of one at least.
    percent = 100 / max(mean, 1.0)
    first = series[0]
    span = (series[-1].seconds - first.seconds) / 3600
    uncertainty = SURE * float(np.sqrt(max(0.0, covariance[0][0])))
    return Trend(first.process, first.quantity, mean, float(slope) * percent, uncertainty * percent, span)


def _means(values: Sequence[float], spans: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([part.mean() for part in np.array_split(np.asarray(values, dtype=np.float64), spans)])

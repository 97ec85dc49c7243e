"""How sure an error rate is: intervals from files drawn again and again (Bisani and Ney 2004)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .scores import ErrorRate, total

DRAWS: Final = 2000
SEED: Final = 0
CONFIDENCE: Final = 95
"""Percent of the draws that lie in an interval."""
FEWEST_FILES: Final = 10
"""Intervals of fewer files are too narrow: of two, one in three leaves out the truth, where one in twenty should."""
_Rates = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Percentage points more errors than the first system has, in the same files."""

    points: float
    interval: Interval | None
    files: int

    @property
    def certain(self) -> bool:
        """Whether there are enough files, and the interval leaves no doubt of the sign."""
        enough = self.files >= FEWEST_FILES
        return enough and self.interval is not None and not self.interval.low <= 0 <= self.interval.high


@dataclass(frozen=True, slots=True)
class Score:
    """An error rate in percent; its interval is None where a single file says nothing of others."""

    percent: float
    interval: Interval | None
    difference: Difference | None
    """To the first system; None for itself."""


def scores(*groups: Sequence[Sequence[ErrorRate]]) -> list[Score]:
    """The score of each system: the rate over all files, or the mean of the rates of several groups of files.

    The files are drawn with replacement, within each group, and for all systems alike.

    Args:
        groups: for each system the rates of its files, the same files for all.
    """
    percents = [float(np.mean([total(files).percent for files in systems])) for systems in zip(*groups, strict=True)]
    drawn = _drawn(groups) if all(len(group[0]) > 1 for group in groups) else None
    files = sum(len(group[0]) for group in groups)
    found = []
    for number, percent in enumerate(percents):
        interval = difference = None
        if drawn is not None:
            interval = _interval(drawn[:, number])
        if number:
            apart = None if drawn is None else _interval(drawn[:, number] - drawn[:, 0])
            difference = Difference(percent - percents[0], apart, files)
        found.append(Score(percent, interval, difference))
    return found


def _drawn(groups: Sequence[Sequence[Sequence[ErrorRate]]]) -> _Rates:
    """Rates in percent of each draw, shape (draws, systems)."""
    generator = np.random.default_rng(SEED)
    rates = []
    for group in groups:
        errors = np.array([[rate.errors for rate in files] for files in group])
        lengths = np.array([rate.length for rate in group[0]])
        files = len(lengths)
        times = generator.multinomial(files, np.full(files, 1 / files), DRAWS)  # how often each file was drawn
        rates.append(100 * (times @ errors.T) / np.maximum(times @ lengths, 1)[:, None])
    mean: _Rates = np.mean(rates, axis=0)
    return mean


def _interval(values: _Rates) -> Interval:
    tail = (100 - CONFIDENCE) / 2
    low, high = np.percentile(values, (tail, 100 - tail))
    return Interval(float(low), float(high))

"""Shapes of load: how many users there are at each second of a run. They know nothing of Locust."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from loadtest.errors import BadShape

STEPS: Final = 5
SOAK_CYCLE: Final = 160.0
"""Seconds from rest to rest of a soak."""
SOAK_REST: Final = 70.0
"""Of these so many are rest: for the longest clip to be spoken to its end, and freed memory to be given back."""
SPIKE_FACTOR: Final = 4
"""Least users of a spike's base: one for so many at the peak."""


class Shape(Protocol):
    """What each shape tells."""

    def users_at(self, seconds: float) -> int:
        """Users at a second of the run, from 0 to its total; at least 1, but where a shape rests."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What all shapes have: the run's length in seconds and the most users."""

    total: float
    peak: int

    def __post_init__(self) -> None:
        """Raises BadShape for numbers that make no run."""
        if not (math.isfinite(self.total) and self.total > 0):
            raise BadShape(f"a run takes more than 0 seconds, not {self.total:g}")
        if self.peak < 1:
            raise BadShape(f"a run has at least 1 user, not {self.peak}")


@dataclass(frozen=True, slots=True)
class Steady(Limits):
    """All users from the first second."""

    def users_at(self, seconds: float) -> int:
        return self.peak


@dataclass(frozen=True, slots=True)
class Soak(Limits):
    """Up to the peak within the first twentieth of the run, and then again and again, for hours, with rests between.

    What is in work swings by more than a leak grows in an hour: what processes hold at rest tells of leaks.
    """

    def users_at(self, seconds: float) -> int:
        if seconds % SOAK_CYCLE >= SOAK_CYCLE - SOAK_REST:
            return 0
        return max(1, min(self.peak, math.ceil(self.peak * 20 * seconds / self.total)))


@dataclass(frozen=True, slots=True)
class Step(Limits):
    """Up to the peak in steps of the same length, so that each says what that many users get."""

    def users_at(self, seconds: float) -> int:
        step = min(STEPS, 1 + int(STEPS * seconds / self.total))
        return max(1, math.ceil(self.peak * step / STEPS))


@dataclass(frozen=True, slots=True)
class Spike(Limits):
    """A quarter of the peak, all of it in the middle fifth of the run, and a quarter again."""

    def users_at(self, seconds: float) -> int:
        at_peak = 0.4 <= seconds / self.total < 0.6
        return self.peak if at_peak else max(1, self.peak // SPIKE_FACTOR)


@dataclass(frozen=True, slots=True)
class Diurnal(Limits):
    """A day in the run's time: a cosine from one user at midnight to the peak at noon and back."""

    def users_at(self, seconds: float) -> int:
        share = (1 - math.cos(2 * math.pi * seconds / self.total)) / 2
        return max(1, round(self.peak * share))


SHAPES: Final[Mapping[str, Callable[[float, int], Shape]]] = {
    "steady": Steady,
    "step": Step,
    "spike": Spike,
    "soak": Soak,
    "diurnal": Diurnal,
}

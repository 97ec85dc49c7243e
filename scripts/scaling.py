"""How a fleet follows its load: replicas, waiting and cost of a simulated day, from 1 to 1,000 GPUs.

    python scripts/scaling.py  # prints the tables of docs/scaling.md
    python scripts/scaling.py --throughput 250 --price 2.5 --start-seconds 300 --target 300

The load is a day: quiet at night, busy at noon, with a burst by half for ten minutes in the afternoon. Requests come by
chance (Poisson) and are as long as recordings are (log-normal). The fleet is a fluid: each pod computes THROUGHPUT
seconds of audio a second, first come, first served. The autoscaler is that of Kubernetes: desired = ceil(pending /
target) unless within 10 %, up and down within the chart's policies, on a metric as old as scrapes and polls make it.
"""

from __future__ import annotations

import argparse
import math
import random
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

STEP: Final = 5
"""Seconds of one step of the simulation."""
DAY: Final = 24 * 3600
SYNC_SECONDS: Final = 15
"""How often Kubernetes' autoscaler looks."""
TOLERANCE: Final = 0.1
"""By how much it lets the metric be off."""
FLEETS: Final = (1, 3, 10, 30, 100, 300, 1000)
HEADROOM: Final = 1.25
"""maxReplicas, in terms of what the busiest hour takes."""
BUSIEST, QUIETEST = 1.0, 0.2
BURST: Final = (15 * 3600, 15 * 3600 + 600, 1.5)
"""Its start, its end and how many times as much comes."""


@dataclass(frozen=True)
class Setting:
    """What a fleet is made of. Seconds of audio where it says audio, else seconds of time."""

    throughput: float = 100.0
    """Audio that a pod computes in a second."""
    in_work: float = 2.0
    """How long a window is in work at a busy pod."""
    target: float = 300.0
    """The chart's targetAudioSeconds."""
    start_seconds: float = 180.0
    """From asking for a pod to its first answer: node, image, weights, start."""
    metric_age: float = 25.0
    """Scrapes and polls."""
    quiet_seconds: float = 600.0
    """stabilizationWindowSeconds of scaling down."""
    mean_audio: float = 120.0
    """Length of a recording, on average."""
    spread: float = 1.2
    """Of its logarithm."""
    price: float = 1.0
    """Of a GPU for an hour."""
    min_replicas: int = 1
    seed: int = 1


@dataclass
class Outcome:
    """A day of a fleet, in steps."""

    setting: Setting
    came: list[float] = field(default_factory=list)
    """Audio that came in each step."""
    waited: list[float] = field(default_factory=list)
    """Audio that waited at the end of each step."""
    replicas: list[int] = field(default_factory=list)
    """Pods that are paid for, starting ones too."""

    @property
    def gpu_hours(self) -> float:
        return sum(self.replicas) * STEP / 3600

    @property
    def audio_hours(self) -> float:
        return sum(self.came) / 3600

    @property
    def utilization(self) -> float:
        return sum(self.came) / (sum(self.replicas) * STEP * self.setting.throughput)

    @property
    def price_of_1000_hours(self) -> float:
        return self.gpu_hours * self.setting.price / self.audio_hours * 1000

    def waits(self, quantiles: Sequence[float]) -> list[float]:
        """How long audio waited until its work began: quantiles over all audio, in seconds."""
        came, done, total = [0.0], [0.0], 0.0
        for amount, left in zip(self.came, self.waited, strict=True):
            total += amount
            came.append(total)
            done.append(total - left)
        waits = []
        for step in range(1, len(came)):
            if self.came[step - 1]:
                begun = bisect_left(done, came[step] - 1e-6)
                waits.append((max(0, begun - step) * STEP, self.came[step - 1]))
        return _quantiles(sorted(waits), quantiles)


def _quantiles(weighted: Sequence[tuple[float, float]], quantiles: Sequence[float]) -> list[float]:
    total, found, reached = sum(weight for _, weight in weighted), [], 0.0
    values = iter(weighted)
    value = 0.0
    for quantile in quantiles:
        while reached < quantile * total - 1e-6:
            value, weight = next(values)
            reached += weight
        found.append(value)
    return found


def load_at(second: float) -> float:
    """How much of the busiest hour's load there is at a second of the day, without the burst at most 1."""
    wave = (1 - math.cos(2 * math.pi * second / DAY)) / 2
    usual = QUIETEST + (BUSIEST - QUIETEST) * wave
    start, end, factor = BURST
    return usual * (factor if start <= second < end else 1.0)


class Arrivals:
    """Audio that comes, step by step: requests by chance, of lengths by chance."""

    def __init__(self, setting: Setting) -> None:
        self._random = random.Random(setting.seed)  # noqa: S311  No secret.
        self._spread = setting.spread
        # So that the mean of the log-normal is mean_audio.
        self._location = math.log(setting.mean_audio) - setting.spread**2 / 2
        self._mean = setting.mean_audio
        self._square = setting.mean_audio**2 * math.exp(setting.spread**2)

    def draw(self, audio: float) -> float:
        """Audio of the requests of a step in which, on average, so much comes."""
        requests = audio / self._mean
        if requests > 50:  # Many: their sum is normal.
            return max(0.0, self._random.gauss(audio, math.sqrt(requests * self._square)))
        left, count = self._random.random(), 0
        term = total = math.exp(-requests)
        while left > total and term > 0:
            count += 1
            term *= requests / count
            total += term
        return sum(self._random.lognormvariate(self._location, self._spread) for _ in range(count))


class Autoscaler:
    """The chart's policies: up by all that there is or two each half minute; down by one every two minutes."""

    def __init__(self, setting: Setting, largest: int) -> None:
        self._setting, self._largest = setting, largest
        self._wanted: deque[tuple[float, int]] = deque()
        self._changes: deque[tuple[float, int]] = deque()

    def decide(self, now: float, pending: float, replicas: int) -> int:
        """How many pods there should be."""
        ratio = pending / self._setting.target / max(replicas, 1)
        desired = replicas if replicas and abs(ratio - 1) <= TOLERANCE else math.ceil(pending / self._setting.target)
        desired = min(max(desired, self._setting.min_replicas), self._largest)
        self._wanted.append((now, desired))
        while self._wanted[0][0] < now - self._setting.quiet_seconds:
            self._wanted.popleft()
        if desired > replicas:
            added = self._changed(now, 30, up=True)
            before = replicas - added
            desired = min(desired, before + max(before, 2))
        else:
            removed = self._changed(now, 120, up=False)
            desired = min(
                replicas, max(*(wanted for _, wanted in self._wanted), replicas + removed - self._step(replicas))
            )
        if desired != replicas:
            self._changes.append((now, desired - replicas))
        return desired

    def _step(self, replicas: int) -> int:
        """Pods that may go at once: one, or a twentieth of a large fleet."""
        return max(1, replicas // 20)

    def _changed(self, now: float, seconds: float, *, up: bool) -> int:
        """Pods added or removed in the last seconds."""
        while self._changes and self._changes[0][0] <= now - 120:
            self._changes.popleft()
        recent = [change for when, change in self._changes if when > now - seconds and (change > 0) == up]
        return abs(sum(recent))


def simulate(largest: int, setting: Setting, *, fixed: bool = False) -> Outcome:
    """A day of a fleet whose busiest hour takes `largest` pods four fifths of their time; `fixed`: all day so many."""
    arrivals, scaler = Arrivals(setting), Autoscaler(setting, math.ceil(HEADROOM * largest))
    outcome = Outcome(setting)
    first = max(setting.min_replicas, math.ceil(largest * load_at(0)))
    ready, starting = (largest if fixed else first), deque[float]()
    waiting = 0.0
    seen: deque[float] = deque(maxlen=max(1, round(setting.metric_age / STEP)))
    for second in range(0, DAY, STEP):
        while starting and starting[0] <= second:
            starting.popleft()
            ready += 1
        came = arrivals.draw(0.8 * largest * setting.throughput * load_at(second) * STEP)
        done = min(waiting + came, ready * setting.throughput * STEP)
        waiting += came - done
        seen.append(waiting + done / STEP * setting.in_work)
        if not fixed and second % SYNC_SECONDS == 0:
            replicas = ready + len(starting)
            change = scaler.decide(second, seen[0], replicas) - replicas
            starting.extend([second + setting.start_seconds] * max(change, 0))
            for _ in range(max(-change, 0)):
                if starting:
                    starting.pop()
                else:
                    ready -= 1
        outcome.came.append(came)
        outcome.waited.append(waiting)
        outcome.replicas.append(ready + len(starting))
    return outcome


def _head(*names: str) -> list[str]:
    return [f"| {' | '.join(names)} |", "|" + " ---: |" * len(names)]


def table(setting: Setting, fleets: Sequence[int] = FLEETS) -> str:
    """The fleets side by side, as Markdown."""
    heads = (
        "GPUs for the busiest hour",
        "pods, fewest – most",
        "used",
        "waits: median, 95 %, 99 %",
        "most audio waiting",
    )
    lines = _head(*heads, "1,000 h of audio cost", "at a fixed size")
    for largest in fleets:
        scaled, fixed = simulate(largest, setting), simulate(largest, setting, fixed=True)
        median, late, last = scaled.waits((0.5, 0.95, 0.99))
        lines.append(
            f"| {largest:,} | {min(scaled.replicas):,} – {max(scaled.replicas):,} | {scaled.utilization:.0%} | "
            f"{median:.0f}, {late:.0f}, {last:.0f} s | {max(scaled.waited) / 3600:,.1f} h | "
            f"{scaled.price_of_1000_hours:.2f} | {fixed.price_of_1000_hours:.2f} |"
        )
    return "\n".join(lines)


def targets(setting: Setting, largest: int = 30, values: Sequence[float] = (100, 150, 300, 600, 1200)) -> str:
    """What the target changes, for a fleet of one size, as Markdown."""
    lines = _head("targetAudioSeconds", "used", "waits: median, 95 %, 99 %", "1,000 h of audio cost")
    for value in values:
        outcome = simulate(largest, Setting(**{**vars(setting), "target": value}))
        median, late, last = outcome.waits((0.5, 0.95, 0.99))
        cost = outcome.price_of_1000_hours
        lines.append(
            f"| {value:,.0f} | {outcome.utilization:.0%} | {median:.0f}, {late:.0f}, {last:.0f} s | {cost:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate a day of fleets of 1 to 1,000 GPUs.")
    usual = Setting()
    for name, text in {
        "throughput": "seconds of audio that a pod computes in a second",
        "target": "targetAudioSeconds",
        "start-seconds": "from asking for a pod to its first answer",
        "metric-age": "age of the metric, in seconds",
        "mean-audio": "mean length of a recording, in seconds",
        "price": "of a GPU for an hour",
    }.items():
        default = getattr(usual, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=float, default=default, help=f"{text} (default: {default:g})")
    parser.add_argument("--fleets", type=int, nargs="+", default=list(FLEETS), help="GPUs for the busiest hour")
    asked = vars(parser.parse_args())
    fleets = asked.pop("fleets")
    setting = Setting(**asked)
    print(table(setting, fleets))
    print()
    print(targets(setting))


if __name__ == "__main__":
    main()

"""What was measured, and the numbers that are made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final

from whisper_serve.benchmark.machine import Machine

SERVED_BASELINE: Final = "engine-files"
"""What the servers are compared with: the same files, computed by the same engine without a server."""


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over a system's files."""

    seconds: float
    tokens: int | None = None
    windows: int | None = None
    fill: float | None = None


@dataclass(slots=True)
class Row:
    """All that is known of a system; nothing but the problem if it could not be measured."""

    system: str
    workload: str
    audio_seconds: float
    rounds: list[Round] = field(default_factory=list)
    latencies: dict[int, list[float]] = field(default_factory=dict)
    """Seconds that each request took, by the length of its clip in seconds."""
    first_answer: float | None = None
    """Seconds from the start of its process to the answer to a first clip, which lets it compile what it needs."""
    word_errors: float | None = None
    """Percent."""
    peak_rss: int = 0
    problem: str = ""

    @property
    def rtfx(self) -> float | None:
        """Seconds of audio a second: the median over the rounds."""
        return self.audio_seconds / median(one.seconds for one in self.rounds) if self.rounds else None

    @property
    def windows_per_second(self) -> float | None:
        rates = [one.windows / one.seconds for one in self.rounds if one.windows is not None]
        return median(rates) if rates else None

    @property
    def tokens_per_second(self) -> float | None:
        rates = [one.tokens / one.seconds for one in self.rounds if one.tokens is not None]
        return median(rates) if rates else None

    @property
    def fill(self) -> float | None:
        """How much of the windows' 30 s was audio, 0 to 1."""
        known = [one.fill for one in self.rounds if one.fill is not None]
        return median(known) if known else None

    def latency(self, clip: int, percent: float) -> float | None:
        """Seconds within which that share of the requests with such a clip was answered."""
        return percentile(self.latencies[clip], percent) if self.latencies.get(clip) else None


@dataclass(frozen=True, slots=True)
class Report:
    """One benchmark."""

    machine: Machine
    model: str
    device: str
    date: str
    notes: tuple[str, ...]
    """What was measured on and how, a sentence each."""
    baseline: str
    rows: tuple[Row, ...]

    def ratio(self, row: Row) -> float | None:
        """How many times as fast as the baseline of its workload the system is."""
        name = SERVED_BASELINE if row.workload.endswith("requests") else self.baseline
        base = next((one.rtfx for one in self.rows if one.system == name and one.workload == row.workload), None)
        return row.rtfx / base if row.rtfx and base else None

    def as_dict(self) -> dict[str, Any]:
        """All of it, with the numbers that were made of it, for JSON."""
        rows = [
            {
                **asdict(row),
                "rtfx": row.rtfx,
                "ratio": self.ratio(row),
                "windows_per_second": row.windows_per_second,
                "tokens_per_second": row.tokens_per_second,
                "fill": row.fill,
            }
            for row in self.rows
        ]
        return {**asdict(self), "rows": rows}


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which that share lies, with straight lines between the values.

    >>> percentile([1.0, 2.0, 3.0], 50), percentile([1.0, 2.0], 75)
    (2.0, 1.75)
    """
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

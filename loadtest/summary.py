"""The numbers of a run, endpoint by endpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from loadtest.records import OK, REFUSED, Record, Results


@dataclass(frozen=True)
class EndpointSummary:
    """What the requests to one endpoint came to; times and factors are of good answers."""

    endpoint: str
    records: Sequence[Record]

    @cached_property
    def good(self) -> Sequence[Record]:
        return [record for record in self.records if record.error == OK]

    @cached_property
    def errors(self) -> Mapping[str, int]:
        """How many requests failed, by kind; refusals are none."""
        return Counter(record.error for record in self.records if record.error not in (OK, REFUSED))

    @property
    def refused(self) -> int:
        return sum(record.error == REFUSED for record in self.records)

    @property
    def error_share(self) -> float:
        """Of the requests that were not refused."""
        admitted = len(self.records) - self.refused
        return sum(self.errors.values()) / admitted if admitted else 0.0

    @property
    def refused_share(self) -> float:
        return self.refused / len(self.records) if self.records else 0.0

    @property
    def audio_seconds(self) -> float:
        """Audio that was transcribed."""
        return sum(record.audio_seconds for record in self.good)

    def seconds(self, percent: float) -> float | None:
        """A percentile of the times to the whole answer."""
        return percentile([record.seconds for record in self.good], percent)

    def first_text_seconds(self, percent: float) -> float | None:
        """A percentile of the times to the first text; None where texts do not come in parts."""
        times = [record.first_text_seconds for record in self.good if record.first_text_seconds is not None]
        return percentile(times, percent)

    def rtf(self, percent: float) -> float | None:
        """A percentile of the real-time factors."""
        return percentile([record.rtf for record in self.good], percent)


def summarise(results: Results) -> list[EndpointSummary]:
    """One summary for each endpoint, in the order of their names."""
    endpoints = sorted({record.endpoint for record in results.records})
    return [
        EndpointSummary(each, [record for record in results.records if record.endpoint == each]) for each in endpoints
    ]


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that so many percent do not exceed; None of nothing.

    >>> percentile([3.0, 1.0, 2.0], 50), percentile([3.0, 1.0, 2.0], 95), percentile([], 50)
    (2.0, 3.0, None)
    """
    if not values:
        return None
    return sorted(values)[max(0, -int(-len(values) * percent // 100) - 1)]

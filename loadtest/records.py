"""What is remembered of each request, and the results of a run, which go through JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from loadtest.errors import BadResults

OK = ""
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Record:
    """One request.

    `endpoint` is what was asked, such as ``rest``; `started` and `ended` are seconds since the run began; `seconds` is
    how long the answer was waited for; `audio_seconds` the clip's length; `users` how many there were when it was sent;
    `error` the kind of its error, empty for a good answer; `first_text_seconds` when the first text came, where texts
    come in parts.
    """

    endpoint: str
    started: float
    ended: float
    seconds: float
    audio_seconds: float
    users: int
    error: str = OK
    first_text_seconds: float | None = None

    @property
    def rtf(self) -> float:
        """Real-time factor: seconds that it took for each second of audio."""
        return self.seconds / self.audio_seconds


@dataclass(frozen=True, slots=True)
class Trend:
    """How a quantity of a process changed: its mean, and percent an hour with half the width of their 95 % interval."""

    process: str
    quantity: str
    mean: float
    growth: float
    uncertainty: float
    hours: float
    """Time that was fitted, after warm-up."""


@dataclass(frozen=True, slots=True)
class Results:
    """A run: its shape, what it ran on, and its requests."""

    shape: str
    seconds: float
    """From the first request to the last answer."""
    machine: str
    model: str
    date: str
    records: Sequence[Record]
    trends: Sequence[Trend] = field(default=())

    def write(self, path: Path) -> None:
        """Write them as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Results:
        """Raises BadResults if the file is none of ours."""
        try:
            return _results(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise BadResults(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise BadResults(f"{path} holds no results of a load test: {error}") from error


def _results(body: Mapping[str, Any]) -> Results:
    records = [Record(**record) for record in body["records"]]
    trends = [Trend(**trend) for trend in body["trends"]]
    return Results(**{**body, "records": records, "trends": trends})

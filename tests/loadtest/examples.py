"""Records, results and clips for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loadtest.clips import Clip
from loadtest.records import Record, Results, Trend

CLIP = Clip("folder/clip.wav", "en", "One window, and another.", 2.0, b"audio")
"""What the gateway of tests answers with its one text."""


def record(seconds: float = 1.0, **changes: Any) -> Record:
    values = {"endpoint": "rest", "started": 0.0, "ended": seconds, "audio_seconds": 10.0, "users": 1}
    return Record(**{**values, **changes}, seconds=seconds)


def results(records: Sequence[Record], trends: Sequence[Trend] = (), **changes: Any) -> Results:
    values = {"shape": "steady", "seconds": 100.0, "machine": "a CPU", "model": "base", "date": "2026-01-02T03:04:05"}
    return Results(**{**values, **changes}, records=records, trends=trends)


def trend(growth: float, uncertainty: float = 0.1, hours: float = 1.0) -> Trend:
    return Trend("gateway 1", "USS MB", 100.0, growth, uncertainty, hours)

"""Results as a benchmark gives them."""

from __future__ import annotations

from whisper_serve.benchmark.machine import Machine
from whisper_serve.benchmark.results import Report, Round, Row

MACHINE = Machine("Abacus 3000", cores=2, threads=2, python="3.11.0", torch="2.13.0")


def row(system: str, seconds: float, workload: str = "one recording") -> Row:
    """A system that took so many seconds for a minute of audio."""
    return Row(
        system,
        workload,
        60.0,
        [Round(seconds, tokens=300, windows=3, fill=0.9)],
        {10: [0.1, 0.2], 30: [0.3]},
        first_answer=3.21,
        word_errors=4.321,
        peak_rss=500_000_000,
    )


def report(*rows: Row) -> Report:
    return Report(MACHINE, "base", "cpu", "2026-01-02T03:04:05+00:00", ("12 recordings.",), "openai-whisper", rows)

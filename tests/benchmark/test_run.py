"""A whole benchmark of the smallest real model, and of systems that do not survive it."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from whisper_serve.benchmark.run import Plan, benchmark
from whisper_serve.benchmark.systems import Setup, System, command


def test_systems_are_measured_side_by_side(small_corpus: Path) -> None:
    systems = "engine-float32,openai-whisper,engine-files,speech-detector,faster-whisper-int8"
    plan = Plan(small_corpus, "random:tiny", "cpu", systems, minutes=0.05, rounds=1, latency_runs=1, tokens=4)
    report = benchmark(Console(file=io.StringIO()), plan)
    rows = {row.system: row for row in report.rows}
    engine, theirs = rows["engine-float32"], rows["openai-whisper"]
    for row in (engine, theirs):
        assert row.problem == ""
        assert [one.windows for one in row.rounds] == [1]
        assert {clip: len(times) for clip, times in row.latencies.items()} == {10: 1, 30: 1}
        assert row.rtfx
        assert row.peak_rss > 100_000_000
        assert row.first_answer is not None
        assert row.first_answer > min(times[0] for times in row.latencies.values())
        assert row.word_errors is None  # of random weights
    assert engine.rounds[0].tokens == 4
    assert 0.05 < (engine.fill or 0) < 0.15
    assert report.ratio(theirs) == 1.0
    assert rows["speech-detector"].rtfx
    assert rows["engine-files"].problem == "not available: a server cannot be told how many tokens to decode"
    assert rows["faster-whisper-int8"].problem.startswith("not available: of its format")


def test_a_system_that_dies_does_not_stop_the_others(small_corpus: Path) -> None:
    def commands(system: System, setup: Setup) -> Sequence[str]:
        dying = "print('{\"ready\": true}', flush=True); import sys; sys.stdin.readline(); sys.exit('no memory')"
        return [sys.executable, "-c", dying] if system.name == "openai-whisper" else command(system, setup)

    plan = Plan(small_corpus, "random:tiny", "cpu", "openai-whisper,speech-detector", minutes=0.1, rounds=2)
    report = benchmark(Console(file=io.StringIO()), plan, commands)
    dead, detector = sorted(report.rows, key=lambda row: row.system)
    assert dead.problem == "failed: its process ended with exit code 1: no memory"
    assert (dead.rounds, report.ratio(detector)) == ([], None)
    assert len(detector.rounds) == 2
    assert any("more than once" in note for note in report.notes)

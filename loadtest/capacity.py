"""`python -m loadtest.capacity`: how many users at a time hardware serves, from the results of runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from loadtest.errors import LoadTestError
from loadtest.records import Results
from loadtest.report import UNKNOWN, table
from loadtest.summary import summarise
from whisper_serve.evaluation.errors import EvaluationError
from whisper_serve.evaluation.markers import write_between_markers

LEAST_REQUESTS: Final = 5
"""Fewer say nothing about a number of users."""
MOST_RTF: Final = 1.0
LIVE: Final = "live"
MOST_LIVE_SECONDS: Final = 3.0
MARKER: Final = "loadtest:capacity"


@dataclass(frozen=True, slots=True)
class Level:
    """What so many users at a time got: whether all of them were served well, and the hours of audio an hour."""

    users: int
    kept_up: bool
    audio_hours: float


def levels(results: Results, most_rtf: float = MOST_RTF, most_live_seconds: float = MOST_LIVE_SECONDS) -> list[Level]:
    """A level for each number of users that sent enough requests, from few to many.

    Users are served well if none of their requests failed or was refused, 95 % of their answers took at most
    ``most_rtf`` seconds for each second of audio, and 95 % of live streams ended at most ``most_live_seconds`` after
    their audio.
    """
    found = []
    for users in sorted({record.users for record in results.records}):
        records = [record for record in results.records if record.users == users]
        if len(records) >= LEAST_REQUESTS:
            found.append(_level(replace(results, records=records), users, most_rtf, most_live_seconds))
    return found


def _level(results: Results, users: int, most_rtf: float, most_live_seconds: float) -> Level:
    kept_up, audio = True, 0.0
    for each in summarise(results):
        measured, limit = (each.seconds(95), most_live_seconds) if each.endpoint == LIVE else (each.rtf(95), most_rtf)
        kept_up = kept_up and not each.errors and not each.refused and measured is not None and measured <= limit
        audio += each.audio_seconds
    began = min(record.started for record in results.records)
    seconds = max(record.ended for record in results.records) - began
    return Level(users, kept_up, audio / seconds if seconds else 0.0)


def sheet(runs: Sequence[Results], most_rtf: float = MOST_RTF, most_live_seconds: float = MOST_LIVE_SECONDS) -> str:
    """A row for each run: the most users at a time that were served well, and the audio that they got through."""
    heads = ["hardware", "model", "requests", "concurrent streams", "hours of audio an hour", "most tried"]
    rows = []
    for run in runs:
        tried = levels(run, most_rtf, most_live_seconds)
        best = max((each for each in tried if each.kept_up), key=lambda each: each.users, default=None)
        endpoints = ", ".join(sorted({record.endpoint for record in run.records}))
        numbers = [str(best.users), f"{best.audio_hours:.1f}"] if best else [UNKNOWN, UNKNOWN]
        rows.append([run.machine, run.model, endpoints, *numbers, str(max((each.users for each in tried), default=0))])
    return table(heads, rows)


def main(arguments: Sequence[str]) -> int:
    """0, or 2 if a file cannot be read or written."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.capacity",
        description="How many users at a time hardware serves, from results of load tests; shape `step` tells most.",
    )
    parser.add_argument("results", nargs="+", type=Path, help="results.json of runs")
    parser.add_argument("--rtf", type=float, default=MOST_RTF, help="most RTF of 95 %% of the answers [%(default)s]")
    parser.add_argument(
        "--live-seconds", type=float, default=MOST_LIVE_SECONDS, help="most seconds after live audio [%(default)s]"
    )
    parser.add_argument("--markdown", type=Path, help=f"write between <!-- {MARKER} --> of this page too")
    given = parser.parse_args(arguments)
    try:
        text = sheet([Results.read(path) for path in given.results], given.rtf, given.live_seconds)
        print(text)
        if given.markdown:
            write_between_markers(given.markdown, MARKER, text)
    except (LoadTestError, EvaluationError) as error:
        print(f"loadtest.capacity: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What faults did, as a table."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Final

from tests.chaos.load import RIGHT, Answer
from whisper_serve.evaluation.tables import markdown_rows

MARKER: Final = "bench:faults"
COLUMNS: Final = ("fault", "requests", "right", "errors", "longest s", "new answer after s", "whole after s")
START_COLUMNS: Final = ("what is wrong at the start", "ends after s", "what it says")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A fault, all answers from before it to after it, and how long it took, in seconds from the end of the fault.

    `recovered`: until a request that was sent after the fault had its answer. `whole`: until all processes were back
    and said that they were ready.
    """

    fault: str
    answers: Sequence[Answer]
    recovered: float
    whole: float

    @property
    def errors(self) -> Counter[str]:
        """How often each kind of failure came."""
        return Counter(answer.kind for answer in self.answers if answer.kind != RIGHT)

    def row(self) -> list[str]:
        errors = ", ".join(f"{number} × {kind}" for kind, number in sorted(self.errors.items())) or "none"
        right = len(self.answers) - self.errors.total()
        longest = max(answer.seconds for answer in self.answers)
        times = [f"{seconds:.1f}" for seconds in (longest, self.recovered, self.whole)]
        return [self.fault, str(len(self.answers)), str(right), errors, *times]


@dataclass(frozen=True, slots=True)
class FailedStart:
    """What `whisper-serve serve` said when it could not start."""

    cause: str
    seconds: float
    sentence: str

    def row(self) -> list[str]:
        return [self.cause, f"{self.seconds:.1f}", self.sentence]


@dataclass(slots=True)
class Report:
    """All that happened in one session."""

    outcomes: list[Outcome] = field(default_factory=list)
    starts: list[FailedStart] = field(default_factory=list)

    def markdown(self) -> str:
        """Both tables, under a line that says where and when."""
        faults = markdown_rows(
            COLUMNS, [each.row() for each in self.outcomes], [True, False, False, True] + 3 * [False]
        )
        starts = markdown_rows(START_COLUMNS, [each.row() for each in self.starts], [True, False, True])
        return "\n\n".join([f"{_heading()}.", *([faults] if self.outcomes else []), *([starts] if self.starts else [])])


def _heading() -> str:
    date = datetime.now(timezone.utc).date().isoformat()
    return f"Whisper base on the CPU, {date}: {os.cpu_count()} cores, {platform.machine()}, Linux"

"""A run as text: tables for the console and for Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from loadtest.records import OK, Results
from loadtest.summary import EndpointSummary, summarise
from loadtest.thresholds import Check

UNKNOWN: Final = "–"
TOO_SHORT: Final = "Growth is not judged where it was watched for too short a time"


def _number(value: float | None, digits: int = 2) -> str:
    # Adding zero: what is rounded to nothing has no sign.
    return UNKNOWN if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


COLUMNS: Final[Mapping[str, Callable[[EndpointSummary], str]]] = {
    "endpoint": lambda each: each.endpoint,
    "answered": lambda each: str(len(each.good)),
    "refused": lambda each: str(each.refused),
    "failed": lambda each: str(sum(each.errors.values())),
    "p50 s": lambda each: _number(each.seconds(50)),
    "p95 s": lambda each: _number(each.seconds(95)),
    "p99 s": lambda each: _number(each.seconds(99)),
    "first text p95 s": lambda each: _number(each.first_text_seconds(95)),
    "RTF p50": lambda each: _number(each.rtf(50), 3),
    "RTF p95": lambda each: _number(each.rtf(95), 3),
    "errors": lambda each: ", ".join(f"{count} × {kind}" for kind, count in sorted(each.errors.items())) or UNKNOWN,
}


def title(results: Results) -> str:
    """One line: what was run on what."""
    return f"{results.model}, {results.shape}, {results.date[:10]}: {results.machine}"


def throughput(results: Results) -> str:
    """One sentence: how much audio there was for each second of the run."""
    audio = sum(record.audio_seconds for record in results.records if record.error == OK)
    rate = audio / results.seconds if results.seconds else 0.0
    users = max((record.users for record in results.records), default=0)
    return (
        f"{audio:.0f} s of audio in {results.seconds:.0f} s by at most {users} users at a time: "
        f"{rate:.2f} s of audio a second, {rate:.2f} hours of audio an hour."
    )


def requests_table(results: Results) -> str:
    """A row for each endpoint."""
    rows = [[cell(each) for cell in COLUMNS.values()] for each in summarise(results)]
    return table(list(COLUMNS), rows)


def growth_table(results: Results) -> str:
    """A row for each quantity of each process that was watched."""
    heads = ["process", "quantity", "mean", "growth, % an hour", "±, 95 %", "hours"]
    rows = [
        [
            each.process,
            each.quantity,
            _number(each.mean, 1),
            _number(each.growth),
            _number(each.uncertainty),
            _number(each.hours, 3),
        ]
        for each in results.trends
    ]
    return table(heads, rows)


def checks_table(checks: Sequence[Check]) -> str:
    """A row for each threshold, with whether it was kept."""
    heads = ["what", "of", "measured", "limit", "result", "note"]
    rows = [
        [
            check.subject,
            check.what,
            _number(check.value),
            f"{check.limit:g}",
            "pass" if check.passed else "FAIL",
            check.note,
        ]
        for check in checks
        if check.judged
    ]
    return table(heads, rows)


def markdown(results: Results, checks: Sequence[Check]) -> str:
    """All of a run."""
    parts = [title(results), requests_table(results), throughput(results), checks_table(checks)]
    if results.trends:
        parts.insert(3, growth_table(results))
    if not all(check.judged for check in checks):
        parts.append(f"{TOO_SHORT}.")
    return "\n\n".join(parts) + "\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are as wide as their widest cell, so that it can be read as it is.

    >>> print(table(["a", "b"], [["long", "1"]]))
    | a    | b |
    | ---- | - |
    | long | 1 |
    """
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )

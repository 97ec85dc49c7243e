"""The table, on the console and in a Markdown file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from whisper_serve.benchmark.results import Report, Row
from whisper_serve.benchmark.workload import CLIP_SECONDS
from whisper_serve.evaluation.tables import markdown_rows

UNKNOWN = "–"
NOTE = "note"
CONSOLE_WIDTH = 130
"""Characters that the table needs on the console."""


def _number(value: float | None, digits: int = 1) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.0f} %"


def _latency(clip: int) -> Callable[[Report, Row], str]:
    def cell(_: Report, row: Row) -> str:
        middle, late = row.latency(clip, 50), row.latency(clip, 95)
        return UNKNOWN if middle is None or late is None else f"{1000 * middle:.0f} / {1000 * late:.0f}"

    return cell


COLUMNS: Mapping[str, Callable[[Report, Row], str]] = {
    "system": lambda _, row: row.system,
    "workload": lambda _, row: row.workload,
    "RTFx": lambda _, row: _number(row.rtfx),
    "ratio": lambda report, row: _number(report.ratio(row), 2),
    "windows/s": lambda _, row: _number(row.windows_per_second, 2),
    "tokens/s": lambda _, row: _number(row.tokens_per_second, 0),
    "fill": lambda _, row: _percent(row.fill),
    "WER %": lambda _, row: _number(row.word_errors, 2),
    **{f"{clip} s: p50 / p95 ms": _latency(clip) for clip in CLIP_SECONDS},
    "first answer s": lambda _, row: _number(row.first_answer),
    "memory MB": lambda _, row: f"{row.peak_rss / 1e6:.0f}" if row.peak_rss else UNKNOWN,
    NOTE: lambda _, row: row.problem,
}
_LEFT = ("system", "workload", NOTE)


def heading(report: Report) -> str:
    return f"{report.model} on {report.device}, {report.date[:10]}: {report.machine}"


def console_table(report: Report) -> Group:
    """The table, and below it what went wrong: in a column it would leave too little room for the numbers."""
    columns = {title: cell for title, cell in COLUMNS.items() if title not in ("workload", NOTE)}
    caption = escape(" ".join(report.notes))
    table = Table(title=escape(heading(report)), caption=caption, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for title in columns:
        header = title.replace(": ", "\n").replace(" MB", "\nMB").replace("first answer s", "first\nanswer\ns")
        table.add_column(header, justify="left" if title in _LEFT else "right", no_wrap=True)
    for workload, rows in groupby(report.rows, key=lambda row: row.workload):
        table.add_row(f"[bold]{workload}[/bold]")
        for row in rows:
            table.add_row(*(escape(cell(report, row)) for cell in columns.values()))
    return Group(table, *(Text(f"{row.system}: {row.problem}") for row in report.rows if row.problem))


def markdown_table(report: Report) -> str:
    noted = any(row.problem for row in report.rows)
    columns = {title: cell for title, cell in COLUMNS.items() if noted or title != NOTE}
    rows = [[cell(report, row) for cell in columns.values()] for row in report.rows]
    table = markdown_rows([*columns], rows, [title in _LEFT for title in columns])
    return f"{heading(report)}.\n\n{table}\n\n{' '.join(report.notes)}"

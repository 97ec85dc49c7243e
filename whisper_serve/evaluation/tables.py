"""The tables of a report, the same for the console, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table as ConsoleTable

from whisper_serve.speech import WINDOW_SECONDS

from .bootstrap import CONFIDENCE, FEWEST_FILES, Difference, Score
from .borders import NEAR, Cutting
from .results import ErrorLine, Report
from .scores import NGRAM, Accuracy

UNKNOWN: Final = "–"
SHOWN_LOOPS: Final = 10
SHOWN_PROBLEMS: Final = 5
"""Of each system."""


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    texts: int = 1
    """So many columns, from the left, are words; the others are numbers."""


def tables(report: Report) -> list[Table]:
    """Those that have anything to say."""
    return [table for make in _TABLES if (table := make(report)).rows]


def border_table(cuttings: Sequence[Cutting]) -> Table:
    """How many words went wrong where windows meet, by the way they were cut."""
    rows = tuple(
        (
            each.language,
            each.label,
            str(each.windows),
            str(len(each.borders)),
            str(each.overlapping),
            *(str(len(words)) for words in (each.lost, each.doubled, each.mistaken)),
            f"{each.errors.percent:.2f}",
        )
        for each in cuttings
    )
    columns = ("language", "windows", "number", "borders", "overlaps", "lost", "doubled", "mistaken", "WER %")
    note = f"Words within {NEAR:g} s of a border, of recordings that are joined without a pause."
    return Table("Window borders", columns, rows, note, texts=2)


def heading(report: Report) -> str:
    return origin(report.model, report.device, report.date, report.machine)


def origin(model: str, device: str, date: str, machine: str) -> str:
    """What was measured where and, in ISO 8601, when."""
    return f"{model} on {device}, {date[:10]}: {machine}"


def remarks(report: Report) -> list[str]:
    """What was measured on, and what went wrong."""
    found = [f"{len(report.spoken)} spoken files, {report.seconds / 60:.1f} minutes, decoded {report.decoding}."]
    if report.left_out:
        found.append(f"Left out: {_some(report.left_out)}.")
    found += [f"{label} failed: {reason}" for label, reason in report.failures.items()]
    found += [f"{one.label}: {_some(one.problems)}." for one in report.outcomes if one.problems]
    return found


def _some(problems: Sequence[str]) -> str:
    more = len(problems) - SHOWN_PROBLEMS
    return "; ".join(problems[:SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


def _errors(report: Report) -> Table:
    return _error_table(report, "Errors", "language", report.errors)


def _folders(report: Report) -> Table:
    return _error_table(report, "Errors by folder", "folder", report.folders)


def _long_form(report: Report) -> Table:
    return _error_table(report, f"Errors in files longer than {WINDOW_SECONDS} s", "language", report.long_form)


def _error_table(report: Report, title: str, first: str, lines: Sequence[ErrorLine]) -> Table:
    others = [f"{label} − {report.labels[0]}" for label in report.labels[1:]]
    columns = (first, "unit", "files", "length", *(f"{label} %" for label in report.labels), *others)
    rows = tuple(
        (
            line.name,
            line.unit or UNKNOWN,
            str(line.files),
            str(line.length),
            *map(_score, line.scores),
            *(_difference(score.difference) for score in line.scores[1:]),
        )
        for line in lines
    )
    star = f", * where that of a difference leaves no doubt of its sign: never with fewer than {FEWEST_FILES} files"
    apart = star if others else ""
    return Table(title, columns, rows, f"In brackets the {CONFIDENCE} % interval{apart}.", texts=2)


def _score(score: Score) -> str:
    interval = score.interval
    return f"{score.percent:.2f}" + (f" [{interval.low:.1f}, {interval.high:.1f}]" if interval else "")


def _difference(found: Difference | None) -> str:
    if found is None:
        return UNKNOWN
    interval = f" [{found.interval.low:+.1f}, {found.interval.high:+.1f}]" if found.interval else ""
    return f"{found.points:+.2f}{interval}{'*' if found.certain else ''}"


def _languages(report: Report) -> Table:
    columns = ("language", *(title for label in report.labels for title in (label, f"{label}: taken for")))
    codes = sorted({sample.language for sample in report.spoken})
    rows = [(code, *(cell for one in report.identification for cell in _accuracy(one[code]))) for code in codes]
    rows.append(("all", *(cell for one in report.identification for cell in (_share(*one.values()), ""))))
    return Table("Language identification", columns, tuple(rows), texts=len(columns))


def _accuracy(score: Accuracy) -> tuple[str, str]:
    wrong = ", ".join(f"{code or UNKNOWN} {number}" for code, number in sorted(score.taken_for.items()))
    return _share(score), wrong


def _share(*scores: Accuracy) -> str:
    right, files = sum(score.right for score in scores), sum(score.files for score in scores)
    return f"{right}/{files} ({100 * right / files:.0f} %)" if files else UNKNOWN


def _translations(report: Report) -> Table:
    rows = tuple((line.language, str(line.files), *(f"{one:.1f}" for one in line.scores)) for line in report.bleus)
    return Table("Translation to English, BLEU", ("from", "files", *report.labels), rows)


def _invented(report: Report) -> Table:
    rows = [
        (sample.name, f"{sample.seconds:.0f}", *(str(words[number]) for words in report.invented))
        for number, sample in enumerate(report.silent)
    ]
    if rows:
        rates = (f"{sum(words) / report.silent_minutes:.2f}" for words in report.invented)
        rows.append(("words per minute", f"{60 * report.silent_minutes:.0f}", *rates))
    return Table("Words invented where nobody speaks", ("file", "seconds", *report.labels), tuple(rows))


def _repeats(report: Report) -> Table:
    row = (f"repeated {NGRAM}-grams", *map(str, report.repeated))
    return Table("Repetitions", ("", "reference", *report.labels), (row,))


def _loops(report: Report) -> Table:
    rows = [(one.label, one.sample, one.repeat.words, str(one.repeat.times)) for one in report.loops[:SHOWN_LOOPS]]
    return Table("Repeated more often than said", ("system", "file", "words", "times"), tuple(rows), texts=3)


def _speed(report: Report) -> Table:
    rows = [("seconds of audio a second", *(f"{report.speed(outcome):.1f}" for outcome in report.outcomes))]
    first = report.outcomes[0].seconds
    if len(report.labels) > 1 and first:
        rows.append((f"time beside {report.labels[0]}", *(f"{one.seconds / first:.2f}" for one in report.outcomes)))
    return Table("Speed", ("", *report.labels), tuple(rows))


_TABLES: Final[Sequence[Callable[[Report], Table]]] = (
    _errors,
    _folders,
    _long_form,
    _languages,
    _translations,
    _invented,
    _repeats,
    _loops,
    _speed,
)


def console_table(table: Table) -> ConsoleTable:
    shown = ConsoleTable(title=table.title, caption=table.note or None, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, title in enumerate(table.columns):
        words = number < table.texts
        header = escape(title).replace(" − ", "\n− ").replace(": taken", "\ntaken")
        shown.add_column(header, justify="left" if words else "right", no_wrap=not words)
    for row in table.rows:
        shown.add_row(*map(escape, row))
    return shown


def markdown(report: Report) -> str:
    """The heading, the tables and the remarks, under headings of the third level."""
    return "\n\n".join([f"{heading(report)}.", *map(markdown_table, tables(report)), *remarks(report)])


def markdown_table(table: Table) -> str:
    """The table with its title above and its note below."""
    text = markdown_rows(table.columns, table.rows, [number < table.texts for number in range(len(table.columns))])
    return "\n\n".join(filter(None, (f"### {table.title}", text, table.note)))


def markdown_rows(columns: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[bool]) -> str:
    """A Markdown table; columns of ``words`` are set left, those of numbers right."""
    lines = [columns, ["---" if left else "---:" for left in words], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)

from __future__ import annotations

import io
import re

from rich.console import Console

from tests.benchmark.examples import report, row
from whisper_serve.benchmark.results import Row
from whisper_serve.benchmark.table import CONSOLE_WIDTH, console_table, markdown_table

FAILED = Row("engine-int8", "one recording", 60.0, problem="failed: a | b [red]")


def test_markdown_has_a_line_for_each_system() -> None:
    text = markdown_table(report(row("openai-whisper", 2.0), FAILED))
    cells = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in text.splitlines() if line.startswith("| ")]
    titles, rule, measured, failed = cells
    assert (len(titles), len(rule), len(failed)) == (13, 13, 13)
    assert measured[:8] == ["openai-whisper", "one recording", "30.0", "1.00", "1.50", "150", "90 %", "4.32"]
    assert measured[8:12] == ["150 / 195", "300 / 300", "3.2", "500"]
    assert failed[0] == "engine-int8"
    assert failed[2] == "–"
    assert failed[-1] == r"failed: a \| b [red]"
    assert text.startswith("base on cpu, 2026-01-02: Abacus 3000, 2 cores, 2 threads; Python 3.11.0, PyTorch 2.13.0.")
    assert text.endswith("12 recordings.")


def test_notes_have_no_column_where_there_are_none() -> None:
    assert "note" not in markdown_table(report(row("openai-whisper", 2.0))).splitlines()[2]


def test_console_shows_reasons_as_they_are() -> None:
    console = Console(record=True, width=CONSOLE_WIDTH, file=io.StringIO())
    console.print(console_table(report(row("faster-whisper-float32-batch8", 2.0), FAILED)))
    text = console.export_text()
    assert "engine-int8: failed: a | b [red]" in text
    assert "faster-whisper-float32-batch8" in text
    assert "150 / 195" in text
    assert "…" not in text

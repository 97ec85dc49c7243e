from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from tests.benchmark.examples import report, row
from whisper_serve.benchmark.errors import BadPlan
from whisper_serve.benchmark.results import Row
from whisper_serve.benchmark.table import (
    CONSOLE_WIDTH,
    console_table,
    markdown_table,
    split_at_markers,
    write_between_markers,
)

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


def test_the_table_is_written_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- bench:cpu -->\nold\n<!-- /bench:cpu -->\nb\n<!-- bench:gpu -->\n<!-- /bench:gpu -->\n")
    write_between_markers(page, "cpu", "new")
    write_between_markers(page, "cpu", "newer")
    expected = "a\n<!-- bench:cpu -->\n\nnewer\n\n<!-- /bench:cpu -->\nb\n<!-- bench:gpu -->\n<!-- /bench:gpu -->\n"
    assert page.read_text() == expected


@pytest.mark.parametrize("text", [None, "", "<!-- bench:cpu -->", "<!-- /bench:cpu --><!-- bench:cpu -->"])
def test_a_page_without_markers_is_refused(tmp_path: Path, text: str | None) -> None:
    page = tmp_path / "page.md"
    if text is not None:
        page.write_text(text)
    with pytest.raises(BadPlan, match=r"has no lines <!-- bench:cpu -->"):
        split_at_markers(page, "cpu")


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_our_own_page_has_both_tables(name: str) -> None:
    split_at_markers(Path(__file__).parents[2] / "docs" / "performance.md", name)

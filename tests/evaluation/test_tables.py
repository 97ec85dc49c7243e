from __future__ import annotations

import io
import re
from dataclasses import replace

from rich.console import Console

from tests.evaluation.examples import OTHER, OURS, SPOKEN, report
from whisper_serve.evaluation.tables import SHOWN_PROBLEMS, console_table, markdown, remarks, tables


def test_every_row_has_all_the_columns() -> None:
    for given in (report(OURS), report(OURS, OTHER)):
        for table in tables(given):
            assert {len(row) for row in table.rows} == {len(table.columns)}, table.title


def test_systems_stand_side_by_side() -> None:
    found = {table.title: table for table in tables(report(OURS, OTHER))}
    errors = found["Errors"]
    assert errors.columns == ("language", "unit", "files", "length", "engine %", "other <1> %", "other <1> − engine")
    assert errors.rows[0] == ("de", "WER", "1", "3", "0.00", "33.33", "+33.33")
    assert re.fullmatch(r"122\.22 \[33\.3, 300\.0\]", errors.rows[1][5])
    assert re.fullmatch(r"\+122\.22 \[\+33\.3, \+300\.0\]", errors.rows[1][6])
    assert found["Words invented where nobody speaks"].rows[-1] == ("words per minute", "30", "0.00", "8.00")
    assert found["Language identification"].rows[1] == ("en", "1/2 (50 %)", "nl 1", "1/2 (50 %)", "nl 1")
    assert found["Repeated more often than said"].rows == (("other <1>", "en/b.wav", "all is well here all", "2"),)
    assert found["Speed"].rows == (
        ("seconds of audio a second", "10.0", "2.0"),
        ("time beside engine", "1.00", "5.00"),
    )


def test_a_star_says_that_there_is_no_doubt() -> None:
    many = [
        replace(each, **{field: getattr(each, field) * 5 for field in ("texts", "languages")}) for each in (OURS, OTHER)
    ]
    errors = tables(replace(report(*many), spoken=SPOKEN * 5))[0]
    assert [(row[2], row[6].endswith("*")) for row in errors.rows] == [("5", False), ("10", True), ("15", True)]
    assert "no doubt of its sign: never with fewer than 10 files." in errors.note


def test_tables_with_nothing_to_say_are_left_out() -> None:
    quiet = replace(report(OURS), translated=(), silent=())
    quiet = replace(quiet, outcomes=(replace(OURS, translations=(), inventions=()),))
    titles = {table.title for table in tables(quiet)}
    assert titles == {
        "Errors",
        "Errors by folder",
        "Errors in files longer than 30 s",
        "Language identification",
        "Repetitions",
        "Speed",
    }


def test_what_went_wrong_is_said() -> None:
    many = replace(OURS, problems=tuple(f"{number}.wav was answered 500" for number in range(SHOWN_PROBLEMS + 2)))
    text = "\n".join(remarks(report(many, failures={"server": "it does not answer"})))
    assert "3 spoken files, 1.5 minutes, decoded greedily." in text
    assert "Left out: en/d.wav: no audio." in text
    assert "server failed: it does not answer" in text
    assert "engine: 0.wav was answered 500; " in text
    assert "; and 2 more." in text


def test_markdown_has_a_rule_and_a_line_for_each_row() -> None:
    text = markdown(report(OURS, replace(OTHER, label="a|b")))
    assert text.startswith("base on cpu, 2026-01-02: Abacus 3000.")
    assert r"| a\|b − engine |" in text
    assert "| --- | --- | ---: | ---: | ---: | ---: | ---: |" in text
    assert "### Speed" in text


def test_the_console_shows_names_as_they_are() -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    for table in tables(report(OURS, replace(OTHER, label="[red]"))):
        console.print(console_table(table))
    text = console.export_text()
    assert re.search(r"\[red\] +\n.*− engine", text)
    assert "+122.22 [+33.3, +300.0]" in text

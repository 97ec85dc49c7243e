from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from loadtest.errors import LoadTestError
from loadtest.plot import FAILED, plot
from loadtest.report import insert, markdown
from loadtest.thresholds import Check
from tests.loadtest.examples import record, results, trend

RECORDS = [
    record(2.0),
    record(3.0, endpoint="streaming", first_text_seconds=0.5, users=3),
    record(1.0, error="HTTP 500"),
    record(0.1, error="refused"),
]
CHECKS = [
    Check("rest", "p95_seconds", 2.0, 1.0, passed=False),
    Check("rest", "p95_rtf", None, 1.0, passed=True),
    Check("worker", "growth", -0.001, 2.0, passed=True, note="short", judged=False),
]


def test_a_run_as_markdown() -> None:
    text = markdown(results(RECORDS, [trend(1.5)]), CHECKS)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert ["rest", "1", "1", "1", "2.00", "2.00", "2.00", "–", "0.200", "0.200", "1 × HTTP 500"] in rows
    assert ["streaming", "1", "0", "0", "3.00", "3.00", "3.00", "0.50", "0.300", "0.300", "–"] in rows
    assert ["rest", "p95_seconds", "2.00", "1", "FAIL", ""] in rows
    assert ["rest", "p95_rtf", "–", "1", "pass", ""] in rows
    assert "worker" not in [row[0] for row in rows]
    assert text.endswith("Growth is not judged where it was watched for too short a time.\n")
    assert "not judged" not in markdown(results(RECORDS), CHECKS[:2])
    assert ["gateway 1", "PSS MB", "100.0", "1.50", "0.10", "1.000"] in rows
    assert "20 s of audio in 100 s by at most 3 users at a time: 0.20 s of audio a second, 0.20 hours" in text


def test_tables_go_between_their_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- loadtest:steady -->\nold\n<!-- /loadtest:steady -->\nb\n")
    insert(page, "steady", r"new \1")
    insert(page, "steady", r"newer \1")
    assert page.read_text() == "a\n<!-- loadtest:steady -->\n\nnewer \\1\n\n<!-- /loadtest:steady -->\nb\n"
    with pytest.raises(LoadTestError, match="has no lines <!-- loadtest:soak -->"):
        insert(page, "soak", "new")
    with pytest.raises(LoadTestError, match="has no lines"):
        insert(tmp_path / "none.md", "steady", "new")


def test_a_plot_has_a_dot_for_each_request() -> None:
    root = ET.fromstring(plot(results(RECORDS)))
    dots = [each for each in root.iter("{http://www.w3.org/2000/svg}circle") if each.get("r") == "2.5"]
    assert len(dots) == len(RECORDS)
    assert sum(each.get("fill") == FAILED for each in dots) == 1
    assert ET.fromstring(plot(results([]))) is not None

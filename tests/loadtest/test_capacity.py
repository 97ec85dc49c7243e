from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loadtest.capacity import levels, main, sheet
from loadtest.records import Record
from tests.loadtest.examples import record, results


def burst(users: int, seconds: float, count: int = 10, **changes: Any) -> list[Record]:
    """So many requests, of ten seconds of audio each, within ten seconds."""
    return [
        record(seconds, users=users, **{"started": 10.0 * users, "ended": 10.0 * users + 10, **changes})
        for _ in range(count)
    ]


def test_the_most_users_that_all_were_served_well() -> None:
    found = levels(results([*burst(4, 5.0), *burst(2, 2.0), *burst(6, 11.0), *burst(8, 1.0, count=4)]))
    assert [(each.users, each.kept_up, each.audio_hours) for each in found] == [
        (2, True, 10.0),
        (4, True, 10.0),
        (6, False, 10.0),
    ]


@pytest.mark.parametrize(
    "bad",
    [
        {"error": "HTTP 500"},
        {"error": "refused"},
        {"seconds": 10.1},
        {"endpoint": "live", "seconds": 3.1},
    ],
)
def test_what_is_not_served_well(bad: dict[str, Any]) -> None:
    one = record(**{"seconds": 1.0, "users": 2, "started": 20.0, "ended": 21.0, **bad})
    (level,) = levels(results([*burst(2, 1.0, count=5), one]))
    assert not level.kept_up


def test_live_streams_are_measured_by_their_last_text() -> None:
    (level,) = levels(results(burst(3, 3.0, endpoint="live", audio_seconds=1.0)))
    assert level.kept_up


def test_the_sheet_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = results([*burst(2, 2.0), *burst(4, 20.0)]), results(burst(1, 20.0), machine="a slow CPU")
    for name, each in {"good": good, "bad": bad}.items():
        each.write(tmp_path / name)
    page = tmp_path / "page.md"
    page.write_text("<!-- loadtest:capacity -->\n<!-- /loadtest:capacity -->\n")
    assert main([str(tmp_path / "good"), str(tmp_path / "bad"), "--markdown", str(page)]) == 0
    text = capsys.readouterr().out
    assert text.strip() == sheet([good, bad])
    assert text.strip() in page.read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    assert rows == [["a CPU", "base", "rest", "2", "10.0", "4"], ["a slow CPU", "base", "rest", "–", "–", "1"]]


def test_bad_files_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.json")]) == 2
    assert "none.json cannot be read" in capsys.readouterr().err

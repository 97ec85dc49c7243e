from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.errors import BadResults
from loadtest.records import Results
from tests.loadtest.examples import record, results, trend


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    before = results([record(first_text_seconds=0.5), record(error="HTTP 500")], [trend(1.0)])
    before.write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == before


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"records": [{"what": 1}], "trends": []}', '{"records": [], "trends": []}']
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(BadResults, match="holds no results of a load test"):
        Results.read(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadResults, match="cannot be read: No such file"):
        Results.read(tmp_path / "none.json")

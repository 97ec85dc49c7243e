"""How many cores there are for a process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from whisper_serve.cores import usable_cores


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("150000 100000", 2),
        ("200000 100000", 2),
        ("1000 100000", 1),
        ("max 100000", 3),
        ("6400000 100000", 3),
        ("?", 3),
    ],
)
def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, expected: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 7})
    (tmp_path / "cpu.max").write_text(limit)
    assert usable_cores(tmp_path / "cpu.max") == expected
    assert usable_cores(tmp_path / "none") == 3

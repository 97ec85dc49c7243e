"""The load tests' own structure: what may know of Locust, and files that stay short."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.options import HERE, ROOT

SOURCES = sorted(HERE.rglob("*.py"))
LOCUSTS = {"locustfile", "recording", "users"}
"""Modules that only Locust's environment can import."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HERE)))
def test_files_say_what_they_are_and_stay_short(path: Path) -> None:
    text = path.read_text("utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 300


def test_nothing_else_needs_locust() -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES if path.stem not in LOCUSTS]
    imports = "; ".join(f"import {name.removesuffix('.__init__')}" for name in names)
    code = f"import sys; {imports}; print([name for name in ('locust', 'gevent', 'torch') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"

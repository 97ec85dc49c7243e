"""The commands and programs that the page offers do what was done: they are run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.gateway.deterministic import TEXTS, Served, serve
from tests.page.conftest import Visitor
from whisper_serve.torchserve.endpoints import on_free_ports

pytestmark = pytest.mark.page

ROOT = Path(__file__).resolve().parents[2]
NAME = 'it\'s; "Kennedy", 1961 $HOME.mp3'
"""Shells and curl read much into such a name."""
TEXT = "".join(TEXTS).strip()


def snippet(page: Page, kind: str) -> str:
    page.get_by_label("Program", exact=True).select_option(kind)
    return page.locator(".snippet code").inner_text()


def run(text: str, folder: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "*"}
    done = subprocess.run([*command, text], check=True, cwd=folder, env=environment, capture_output=True, text=True)
    return done.stdout


@pytest.fixture(scope="module")
def answering(browser: Browser) -> Iterator[Served]:
    """A gateway whose settings name the port of its gRPC service, as those of a real one do."""
    with serve(grpc_port=on_free_ports().grpc) as running:
        yield running


@pytest.mark.parametrize("task", ["transcribe", "translate"])
def test_snippets_run(answering: Served, visit: Visitor, tmp_path: Path, task: str) -> None:
    (tmp_path / NAME).write_bytes(b"audio")
    page = visit(answering.url).open()
    page.select_option("#task", task)
    page.select_option("#language", "en")
    page.set_input_files("#file", tmp_path / NAME)
    page.wait_for_selector(".view")
    page.get_by_text("The same from a program").click()
    asked = answering.pipeline.works[-1].options
    body = json.loads(run(snippet(page, "curl"), tmp_path, "bash", "-c"))
    assert (body["text"], body["task"], body["language"]) == (TEXT, task, "english")
    assert "words" in body
    assert answering.pipeline.works[-1].options == asked
    for kind in ("Python (OpenAI)", "Python (gRPC)"):
        assert run(snippet(page, kind), tmp_path, sys.executable, "-c").strip() == TEXT
        done = answering.pipeline.works[-1].options
        assert (done.task, done.language) == (asked.task, asked.language)

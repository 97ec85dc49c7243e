"""The program that health checks of containers run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


class Answers(BaseHTTPRequestHandler):
    """200 for /livez."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  The base class' name.
        """Nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "whisper_serve.health", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_gateway_that_answers_is_healthy(port: int) -> None:
    # A proxy of the environment is not asked.
    done = check("gateway", WHISPER_PORT=str(port), http_proxy="http://127.0.0.1:9")
    assert (done.returncode, done.stderr) == (0, "")


def test_gateway_that_does_not_answer_is_named() -> None:
    done = check("gateway", WHISPER_PORT="9")
    assert done.returncode == 1
    assert "http://127.0.0.1:9/livez does not answer: " in done.stderr


def test_without_what_to_check_the_usage_is_told() -> None:
    assert "gateway|torchserve" in check("both").stderr

"""TorchServe gone as a whole, supervisor and all, while the gateway runs elsewhere."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.stack import is_ready, kill_tree, run_gateway, running, serve_command, wait_until
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.evaluation.scores import error_rate
from whisper_serve.torchserve.endpoints import on_free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.weights, pytest.mark.slow]

DOWN_SECONDS = 20
REQUESTS = 8


def test_requests_wait_while_torchserve_is_down(archive: Path, clips: dict[str, Sample]) -> None:
    samples = [clips[name] for name in ("en-jfk.mp3", "en-librispeech-61-70968-0000.flac")]
    contents = [sample.path.read_bytes() for sample in samples]
    endpoints = on_free_ports()
    command = [*serve_command(archive.parent, endpoints), "--no-gateway"]
    with run_gateway(endpoints.grpc_target) as gateway, ThreadPoolExecutor(REQUESTS) as pool:
        run_and_kill(command, until_ready=lambda: is_ready(gateway))
        killed = time.monotonic()
        answers = [pool.submit(gateway.text, contents[number % 2]) for number in range(REQUESTS)]
        time.sleep(DOWN_SECONDS)
        assert not any(answer.done() for answer in answers)
        with running(command, {}):
            for number, answer in enumerate(answers):
                sample, said = samples[number % 2], answer.result()
                assert said.status_code == 200, said.text
                assert error_rate(sample.transcript, said.text, "en").percent <= 10
            print(f"answered {time.monotonic() - killed:.0f} s after the end of the first TorchServe")


def run_and_kill(command: Sequence[str], *, until_ready: Callable[[], bool]) -> None:
    """Start a process, wait, and kill it with all below it."""
    with tempfile.TemporaryDirectory(prefix="ws") as folder:
        process = subprocess.Popen(command, env={**os.environ, "TMPDIR": folder})
        try:
            wait_until(until_ready, 120)
        finally:
            kill_tree(process)

"""Load tests of the real thing: one that is passed, by all kinds of users, and one that cannot be."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from loadtest.__main__ import main
from loadtest.options import ROOT
from loadtest.records import Results
from loadtest.summary import summarise
from tests.e2e.stack import Stack

LOCUST = ROOT / ".venv-loadtest" / "bin" / "locust"
ENDPOINTS = {"rest", "streaming", "grpc", "live", "torchserve-rest", "torchserve-grpc"}
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.weights,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not LOCUST.is_file(), reason="there is no .venv-loadtest: make loadtest makes it"),
]


def test_servers_of_its_own_are_loaded_and_watched(archive: Path, tmp_path: Path) -> None:
    # How fast this machine is, is not what is tested.
    limits = tmp_path / "limits.yaml"
    limits.write_text("endpoints: {default: {p95_seconds: 300, error_share: 0, refused_share: 0}}")
    options = ["--model", "trial", "--store", str(archive.parent), "--reports", str(tmp_path)]
    options += ["--thresholds", str(limits)]
    assert main([*options, "--time", "30s", "--peak", "6", "--locust", str(LOCUST), "--", "--longest", "12"]) == 0
    results = Results.read(tmp_path / "results.json")
    summaries = {each.endpoint: each for each in summarise(results)}
    assert summaries.keys() == ENDPOINTS
    assert all(each.good for each in summaries.values())
    assert summaries["live"].first_text_seconds(50) is not None
    watched = {(trend.process.split()[0], trend.quantity) for trend in results.trends}
    roles = ("supervisor", "gateway", "torchserve", "worker")
    assert {(role, "USS MB") for role in roles} | {("all", "temporary files")} <= watched


def test_servers_of_its_own_end_with_it(archive: Path, tmp_path: Path) -> None:
    locust = tmp_path / "locust"
    locust.write_text(f"#!{sys.executable}\nimport time\nprint('loading', flush=True)\ntime.sleep(600)\n")
    locust.chmod(0o755)
    options = ["--model", "trial", "--store", str(archive.parent), "--reports", str(tmp_path), "--locust", str(locust)]
    command = [sys.executable, "-m", "loadtest", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("loading" in line for line in process.stdout)
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) >= 5, "Locust, the supervisor, the gateway, TorchServe and its workers"
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 128 + signal.SIGTERM
    assert not [each for each in started if each.is_running()]


def test_what_takes_too_long_fails(stack: Stack, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text("endpoints: {rest: {p95_seconds: 0.001, error_share: 0}}")
    target = ["--url", stack.url, "--grpc", stack.grpc, "--thresholds", str(limits), "--reports", str(tmp_path)]
    load = ["--users", "RestUser", "--time", "5s", "--peak", "1", "--locust", str(LOCUST)]
    assert main([*target, *load, "--", "--longest", "5"]) == 1
    rows = [line for line in capfd.readouterr().out.splitlines() if "p95_seconds" in line]
    assert len(rows) == 1
    assert "FAIL" in rows[0]

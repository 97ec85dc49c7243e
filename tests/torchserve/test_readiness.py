"""Reading out of a worker's log why the model cannot be loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from whisper_serve.torchserve.readiness import archive_failure, load_failure

START = ["s_name_part0=/tmp/.ts.sock, s_name_part1=9000, pid=1", "[PID]1", "Torch worker started."]
TRACEBACK = [
    "Backend worker process died.",
    "Traceback (most recent call last):",
    '  File "model_loader.py", line 143, in load',
    "    initialize_fn(service.context)",
]
SECOND_LOOKUP = [
    "",
    "During handling of the above exception, another exception occurred:",
    "",
    "Traceback (most recent call last):",
    '  File "model_loader.py", line 1, in _load_default_handler',
    "ModuleNotFoundError: No module named 'ts.torch_handler.whisper_handler'",
]


def failure(tmp_path: Path, lines: list[str], workers: int = 1) -> str | None:
    (tmp_path / "log").write_text("\n".join(lines) + "\n", "utf-8")
    return load_failure(tmp_path / "log", workers)


@pytest.mark.parametrize(
    ("message", "exception", "reason"),
    [
        (
            "Failed to load model: whisper.mar",
            "java.io.IOException: invalid CRC\nat java",
            "java.io.IOException: invalid CRC",
        ),
        ("Error while retrieving snapshot details. Details: invalid CRC", "", "invalid CRC"),
        ("A client sent: Failed to load model: none", "", None),
    ],
)
def test_a_refused_archive_is_found(message: str, exception: str, reason: str | None) -> None:
    lines = ["no JSON", json.dumps({"message": "Starting", "exception": ""})]
    refusal = json.dumps({"message": message, "exception": exception})
    assert archive_failure(lines) is None
    assert archive_failure([*lines, refusal]) == reason


def test_no_failure_before_there_is_a_log(tmp_path: Path) -> None:
    assert load_failure(tmp_path / "none", 1) is None


def test_no_failure_while_workers_start(tmp_path: Path) -> None:
    assert failure(tmp_path, [*START, "Error: a line of the handler"]) is None


def test_exception_is_found(tmp_path: Path) -> None:
    lines = [*START, *TRACEBACK, "package.errors.SettingsError: bad key 'x': y", *START]
    assert failure(tmp_path, lines) == "package.errors.SettingsError: bad key 'x': y"


def test_lines_of_the_next_worker_do_not_count(tmp_path: Path) -> None:
    assert failure(tmp_path, [*START, *TRACEBACK, "ValueError: first", *START, "note: later"]) == "ValueError: first"


def test_failure_is_awaited_until_it_is_told(tmp_path: Path) -> None:
    assert failure(tmp_path, [*START, *TRACEBACK]) is None


def test_import_error_is_not_hidden_by_the_second_look_up(tmp_path: Path) -> None:
    lines = [*START, *TRACEBACK, "ImportError: cannot import name 'x' from 'y'", *SECOND_LOOKUP]
    assert failure(tmp_path, lines) == "ImportError: cannot import name 'x' from 'y'"


@pytest.mark.parametrize(("workers", "starts", "failed"), [(1, 3, False), (1, 4, True), (4, 6, False), (4, 7, True)])
def test_worker_that_vanishes_again_and_again(tmp_path: Path, workers: int, starts: int, failed: bool) -> None:
    reason = failure(tmp_path, START * starts, workers)
    assert (reason is not None and "memory is short" in reason) is failed

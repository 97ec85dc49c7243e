"""Whether a starting TorchServe is ready, and why it will not be.

TorchServe's /ping is 200 while the model still loads and when no worker lives. So ready means here: the
management API shows a worker READY, and then a real request has been answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

import httpx

from whisper_serve.torchserve.endpoints import Endpoints

_WORKER_STARTED = "Torch worker started."
# The first line of TorchServe's report of an exception in a worker; the exception itself ends it.
_WORKER_DIED = "Backend worker process died."
# What the next worker prints first.
_NEXT_WORKER = "s_name_part0="
# TorchServe's own reports of an archive that it cannot unpack, by where it notices. It goes on without a model.
_ARCHIVE_REFUSED = ("Failed to load model: ", "Error while retrieving snapshot details. Details: ")
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*: \S")
# TorchServe looks for a handler it cannot import among its own, and reports only that it is not there either.
_SECOND_LOOKUP = "ts.torch_handler"


def has_ready_worker(endpoints: Endpoints, model: str, *, timeout: float = 2.0) -> bool:
    """Ask the management API. False too while it does not answer yet."""
    try:
        answer = httpx.get(f"{endpoints.management_url}/models/{model}", timeout=timeout, trust_env=False)
        versions = answer.json() if answer.is_success else []
    except (httpx.HTTPError, ValueError):
        return False
    return any(worker.get("status") == "READY" for version in versions for worker in version.get("workers", []))


def load_failure(model_log: Path, workers: int) -> str | None:
    """Why the model cannot be loaded, from what the workers printed, or None while there is hope.

    An exception that ended a worker will end the next one too. A worker can also vanish without a word
    (killed for memory, say): TorchServe starts another each time, so many more starts than workers mean
    failure.
    """
    lines = read_lines(model_log)
    if _WORKER_DIED in lines:
        return _exception(lines[lines.index(_WORKER_DIED) + 1 :])
    if lines.count(_WORKER_STARTED) > workers + 2:
        return "its worker was killed again and again, as happens when memory is short"
    return None


def archive_failure(output: Iterable[str]) -> str | None:
    """Why TorchServe cannot unpack the archive, from the lines of its log (JSON), or None while there is hope."""
    for line in output:
        if any(report in line for report in _ARCHIVE_REFUSED):
            record = json.loads(line)
            message = record["message"]
            if message.startswith(_ARCHIVE_REFUSED):
                return str(record["exception"] or message.split(": ", 1)[1]).splitlines()[0]
    return None


def read_lines(path: Path) -> list[str]:
    """The lines of a log file; none when there is no file yet."""
    try:
        return path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _exception(report: list[str]) -> str | None:
    """The exception that a traceback reports, or None while it is not there as a whole."""
    own = takewhile(lambda line: not line.startswith(_NEXT_WORKER), report)
    exceptions = [line for line in own if _EXCEPTION.match(line)]
    telling = [line for line in exceptions if _SECOND_LOOKUP not in line] or exceptions
    return telling[-1] if telling else None

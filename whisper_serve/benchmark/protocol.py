"""What the benchmark and its workers say to each other: JSON, a line each, over the worker's stdin and stdout.

A worker says ``{"ready": true}`` once its model is loaded. It answers each request with an answer, or with
``{"error": "…"}``, and ends when its stdin ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Work:
    """What a system made of some files, and what it took; what a system does not tell is None."""

    texts: list[str]
    seconds: float
    tokens: int | None = None
    windows: int | None = None
    fill: float | None = None
    """How much of the windows' 30 s was audio, 0 to 1."""
    languages: list[str] | None = None
    """Codes of those that were found or told, a file each."""


@dataclass(frozen=True, slots=True)
class Answer:
    work: Work
    peak_rss: int
    """Bytes: the most memory that the worker's processes have held, each at its own time."""


Transcribe = Callable[[Sequence[Path], int], Work]
"""Called with files and with how many of them to send at once, where that means anything."""


def serve(system: Callable[[], AbstractContextManager[Transcribe]]) -> None:
    """Be a worker: load the system, then answer until stdin ends or SIGTERM comes."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not come between the replies
    try:
        with system() as transcribe:
            print(json.dumps({"ready": True}), file=replies)
            for line in sys.stdin:
                request = json.loads(line)
                work = transcribe([Path(name) for name in request["files"]], request["concurrency"])
                print(json.dumps({**asdict(work), "peak_rss": peak_memory()}), file=replies)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=replies)
        raise


def read_answer(line: str) -> Answer:
    """The answer in a line that holds no error."""
    reply = json.loads(line)
    return Answer(peak_rss=reply.pop("peak_rss"), work=Work(**reply))


def peak_memory() -> int:
    """Bytes that this process and those below it have held at most, each at its own time."""
    own = psutil.Process()
    return sum(_peak(process.pid) for process in [own, *own.children(recursive=True)])


def _peak(pid: int) -> int:
    # getrusage would count what the parent held before this process was its own.
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))

"""Memory, open files and temporary files of the processes of a server, sampled while it runs."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Final

import psutil

ROLES: Final = {
    "org.pytorch.serve": "torchserve",
    "model_service_worker": "worker",
    "gateway": "gateway",
}
"""What a command line holds, and what a process with it is called."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A value of one process; `seconds` since the sampling began."""

    seconds: float
    process: str
    quantity: str
    value: float


class Sampler:
    """Samples the process `pid` and all below it every `interval` seconds, in a thread, as a context manager.

    `folder` is where they keep temporary files. What ends or begins meanwhile is sampled for as long as it is there.
    """

    def __init__(self, pid: int, folder: Path, interval: float = 2.0) -> None:
        self.samples: list[Sample] = []
        self._root, self._folder, self._interval = pid, folder, interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sampler", daemon=True)

    def __enter__(self) -> Sampler:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._done.is_set():
            # A server that has died leaves nothing to sample, and the requests tell so.
            with suppress(psutil.NoSuchProcess):
                self.samples += self._now(time.monotonic() - self._began)
            self._done.wait(self._interval)

    def _now(self, seconds: float) -> Iterator[Sample]:
        root = psutil.Process(self._root)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                name = f"{role_of(process, self._root)} {process.pid}"
                for quantity, value in _measured(process).items():
                    yield Sample(seconds, name, quantity, value)
        yield Sample(seconds, "all", "temporary files", sum(path.is_file() for path in self._folder.rglob("*")))


def role_of(process: psutil.Process, root: int) -> str:
    """What a process of the server does."""
    if process.pid == root:
        return "supervisor"
    words = process.cmdline()
    return next((role for part, role in ROLES.items() if any(part in word for word in words)), "other")


def _measured(process: psutil.Process) -> dict[str, float]:
    memory = process.memory_full_info()
    return {"RSS MB": memory.rss / 1e6, "USS MB": memory.uss / 1e6, "descriptors": process.num_fds()}


def write_samples(samples: Sequence[Sample], path: Path) -> None:
    """Write them as CSV, for whoever wants to see when something grew."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(each.name for each in fields(Sample))
        writer.writerows(map(astuple, samples))

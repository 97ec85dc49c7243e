"""The private temporary folder of one running TorchServe.

TorchServe keeps its PID file, its workers' sockets and the unpacked archive in the temporary folder: two
servers that share one stop each other. The folder is deleted when the server stops; one that a killed server
left behind is deleted by the next start, which tells it from a live one by a file lock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO

_PREFIX = "whisper-serve-"
_LOCK = "lock"
# A younger folder may belong to a start that has made its lock file and not locked it yet.
_YOUNG_SECONDS = 60


class Workspace:
    """A context manager that makes the folder and its parts, and deletes them.

    The path is short on purpose: a Unix socket's may have 107 characters at most.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = Path(tempfile.gettempdir()) if parent is None else parent
        self.path = Path()
        self._lock: IO[bytes] | None = None

    @property
    def temp(self) -> Path:
        """What the processes use as their temporary folder; the archive is unpacked into it."""
        return self.path / "tmp"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def properties(self) -> Path:
        return self.path / "config.properties"

    @property
    def model_log(self) -> Path:
        """What the workers print, kept by model_store/log4j2.xml."""
        return self.logs / "model_log.log"

    def __enter__(self) -> Workspace:
        self._parent.mkdir(parents=True, exist_ok=True)
        delete_abandoned(self._parent)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
        self._lock = (self.path / _LOCK).open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.temp.mkdir()
        self.logs.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()


def delete_abandoned(parent: Path) -> None:
    """Delete our own folders in `parent` whose server is gone: their lock is free."""
    for lock_file in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            status = lock_file.stat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < _YOUNG_SECONDS:
                continue
            with lock_file.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock_file.parent, ignore_errors=True)
        except OSError:  # Locked: its server lives. Or another start has just deleted it.
            continue

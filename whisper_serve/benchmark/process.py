"""The process of one system, as the benchmark sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from whisper_serve.benchmark.errors import WorkerFailed
from whisper_serve.benchmark.protocol import Answer, read_answer

STOP_SECONDS: Final = 90
SHOWN_CHARACTERS: Final = 300


class Worker:
    """A running worker. Every method but `close` raises WorkerFailed with the reason."""

    def __init__(self, command: Sequence[str], threads: int) -> None:
        """Start it and wait until its model is loaded."""
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  as long as self
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        # A session of its own: Ctrl-C is for the benchmark, which then ends its workers.
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def ask(self, files: Sequence[Path], concurrency: int = 1, **settings: Any) -> Answer:
        """Have some files transcribed; ``settings`` are faster-whisper's, where they are not those of its start."""
        assert self._process.stdin is not None
        request = {"files": [str(path) for path in files], "concurrency": concurrency, **settings}
        with suppress(BrokenPipeError):  # if it is dead, reading tells why
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return read_answer(self._read())

    def close(self) -> None:
        """End it and all that it started."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # What is idle ends with its input, even where SIGTERM is blocked, as below some versions of timeout(1).
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerFailed(self._ending())
        if error := json.loads(line).get("error"):
            raise WorkerFailed(" ".join(error.split())[:SHOWN_CHARACTERS])
        return line

    def _ending(self) -> str:
        code = self._process.wait(STOP_SECONDS)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        return f"its process {how}" + (f": {lines[-1][:SHOWN_CHARACTERS]}" if lines else "")

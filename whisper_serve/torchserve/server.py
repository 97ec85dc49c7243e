"""A TorchServe that serves one archive: configured, started, watched until it is really ready, stopped."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from whisper_serve.torchserve.client import WINDOW_KEY, RestClient
from whisper_serve.torchserve.endpoints import Endpoints
from whisper_serve.torchserve.errors import RequestFailed, ServerFailed
from whisper_serve.torchserve.java import Java, find_java
from whisper_serve.torchserve.model_archive import ModelArchive, read_archive
from whisper_serve.torchserve.process import TorchServeProcess
from whisper_serve.torchserve.properties import render_properties
from whisper_serve.torchserve.readiness import archive_failure, has_ready_worker, load_failure, read_lines
from whisper_serve.torchserve.workspace import Workspace

POLL_SECONDS = 0.1
# Over the archive's startupTimeout: Java's own start and the first answer.
EXTRA_START_SECONDS = 120
_SHOWN_LINES = 25


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What to serve and how. None leaves a number to the archive's model-config.yaml.

    `device` is handed to the handler as WHISPER_DEVICE. `probe` is the window message whose answer
    proves that the server is ready. `environment` is what the server starts from.
    """

    archive: Path
    probe: bytes
    endpoints: Endpoints = field(default_factory=Endpoints)
    workers: int | None = None
    batch_size: int | None = None
    device: str | None = None
    temp_dir: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def effective(self) -> ModelArchive:
        """The archive's description with this run's numbers in it. Raises ArchiveError."""
        archive = read_archive(self.archive)
        asked = {"workers": self.workers, "batch_size": self.batch_size}
        settings = replace(archive.settings, **{name: value for name, value in asked.items() if value is not None})
        return replace(archive, settings=settings)

    @property
    def use_gpu(self) -> bool:
        return self.device is None or not self.device.startswith("cpu")

    def server_environment(self) -> dict[str, str]:
        device = {} if self.device is None else {"WHISPER_DEVICE": self.device}
        return {**self.environment, **device}


class TorchServe:
    """A context manager: starts the server on entry, stops all of it on exit.

    Entry raises ArchiveError, JavaNotFound, PortsBusy, and ServerFailed where its files or its process cannot be made.
    `emit` gets the server's log lines.
    """

    def __init__(self, config: ServerConfig, emit: Callable[[str], None] | None = None) -> None:
        self.config = config
        self._emit = emit or _to_stderr
        self._stack = ExitStack()

    def __enter__(self) -> TorchServe:
        self.archive = self.config.effective()
        java = find_java(self.config.environment)
        self.config.endpoints.require_free()
        self._started = time.monotonic()
        try:
            self._start(java)
        except OSError as error:
            raise ServerFailed(f"TorchServe cannot be started: {error}.") from error
        return self

    def _start(self, java: Java) -> None:
        with ExitStack() as stack:
            self._workspace = stack.enter_context(Workspace(self.config.temp_dir))
            text = render_properties(self.archive, self.config.endpoints, use_gpu=self.config.use_gpu)
            self._workspace.properties.write_text(text, "ascii")
            self.process = TorchServeProcess(java, self._workspace, self.config.server_environment(), self._emit)
            stack.callback(self.process.stop)
            self._stack = stack.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def seconds(self) -> float:
        """How long ago the start was."""
        return time.monotonic() - self._started

    def wait_ready(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Wait until a worker is READY and has answered the probe; False when `stopping` became true first.

        Raises ServerFailed when TorchServe ends, the model cannot be loaded, the probe is answered with an
        error, or none of this happens in time.
        """
        limit = self.archive.settings.startup_timeout_s + EXTRA_START_SECONDS
        probe: _Probe | None = None
        while not stopping():
            self._raise_if_failed(limit)
            if probe is None and has_ready_worker(self.config.endpoints, self.archive.name):
                probe = _Probe(self.predictions_url, self.config.probe, limit)
            if probe is not None and probe.finished:
                if probe.error is None:
                    return True
                self._fail(f"TorchServe started, but its first request failed: {probe.error}")
            time.sleep(POLL_SECONDS)
        return False

    @property
    def predictions_url(self) -> str:
        """Where REST requests for the model go."""
        return f"{self.config.endpoints.inference_url}/predictions/{self.archive.name}"

    def _raise_if_failed(self, limit: float) -> None:
        if self.process.exit_code is not None:
            self._fail(f"TorchServe ended while it started, with exit code {self.process.exit_code}.")
        reason = archive_failure(tuple(self.process.output)) or load_failure(
            self._workspace.model_log, self.archive.settings.workers
        )
        if reason is not None:
            self._fail(f"The model {self.archive.name} cannot be loaded from {self.archive.path}: {reason}")
        if self.seconds > limit:
            self._fail(f"TorchServe was not ready after {limit:.0f} s.")

    def _fail(self, message: str) -> NoReturn:
        lines = read_lines(self._workspace.model_log) or list(self.process.output)
        raise ServerFailed(message, tuple(lines[-_SHOWN_LINES:]))


class _Probe:
    """The first real request, sent from a thread so that the wait for its answer can be broken off."""

    def __init__(self, url: str, body: bytes, timeout: float) -> None:
        self.error: str | None = None
        self._thread = threading.Thread(target=self._send, args=(url, body, timeout), daemon=True)
        self._thread.start()

    @property
    def finished(self) -> bool:
        return not self._thread.is_alive()

    def _send(self, url: str, body: bytes, timeout: float) -> None:
        try:
            with RestClient(url, timeout=timeout) as client:
                client.predict_form(body, key=WINDOW_KEY)
        except RequestFailed as error:
            self.error = str(error)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

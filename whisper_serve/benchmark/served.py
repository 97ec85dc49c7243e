"""A real server as a system: `whisper-serve serve` on free ports, and files sent to it as forms."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

import httpx

from whisper_serve.benchmark.errors import BenchmarkError
from whisper_serve.benchmark.protocol import Work
from whisper_serve.evaluation.server import DEFAULT_MODEL, new_client, post
from whisper_serve.torchserve.endpoints import Endpoints, on_free_ports

STOP_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs: its supervisor's process, its addresses, and its folder for temporary files."""

    pid: int
    endpoints: Endpoints
    gateway_url: str | None
    """None: there is no gateway."""
    rpc_target: str | None
    """Where the gateway serves gRPC; None: nowhere."""
    folder: Path

    @property
    def files_url(self) -> str:
        """Where files go."""
        if self.gateway_url:
            return f"{self.gateway_url}/v1/audio/transcriptions"
        return f"{self.endpoints.inference_url}/predictions/whisper"


@contextmanager
def running_server(
    model: str, device: str, store: Path, *, gateway: bool, rpc_port: int | None = None
) -> Iterator[str]:
    """The address for files of a server of its own: see `started_server`."""
    with started_server(model, device, store, gateway=gateway, rpc_port=rpc_port) as server:
        yield server.files_url


@contextmanager
def started_server(
    model: str, device: str, store: Path, *, gateway: bool, rpc_port: int | None = None
) -> Iterator[Server]:
    """A server of its own on free ports, once it is ready; its archive is or will be in ``store``.

    ``rpc_port`` is where its gateway serves gRPC; None: nowhere. Raises BenchmarkError if it does not start.
    """
    endpoints, port = on_free_ports(), on_free_ports().inference
    command = [*_command(model, device, store, endpoints), *(_gateway(port, rpc_port) if gateway else ["--no-gateway"])]
    url = f"http://127.0.0.1:{port}" if gateway else None
    target = f"127.0.0.1:{rpc_port}" if gateway and rpc_port else None
    # A Unix socket's path may have 107 characters at most, and TorchServe's lie in the folder for temporary files.
    with tempfile.TemporaryDirectory(prefix="ws") as folder:
        environment = {**os.environ, "TMPDIR": folder}
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            _wait_until_ready(process.stdout)
            yield Server(process.pid, endpoints, url, target, Path(folder))
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def send(url: str, language: str, files: Sequence[Path], concurrency: int) -> Work:
    """Send each file as a request of its own, ``concurrency`` of them at a time."""
    fields = {"model": DEFAULT_MODEL, "language": language}

    def request(client: httpx.Client, path: Path) -> str:
        return str(post(client, url, path, fields)["text"])

    started = time.perf_counter()
    with new_client(url) as client, ThreadPoolExecutor(concurrency) as pool:
        texts = list(pool.map(partial(request, client), files))
        return Work(texts, time.perf_counter() - started)


def _command(model: str, device: str, store: Path, endpoints: Endpoints) -> list[str]:
    command = [sys.executable, "-m", "whisper_serve", "serve", "--model", model, "--model-store", str(store)]
    command += ["--device", device, "--port", str(endpoints.inference)]
    command += ["--management-port", str(endpoints.management), "--metrics-port", str(endpoints.metrics)]
    return [*command, "--grpc-port", str(endpoints.grpc), "--grpc-management-port", str(endpoints.grpc_management)]


def _gateway(port: int, rpc_port: int | None) -> list[str]:
    return ["--gateway-host", "127.0.0.1", "--gateway-port", str(port), "--gateway-grpc-port", str(rpc_port or "off")]


def _wait_until_ready(lines: IO[str]) -> None:
    """Read what the server says until it is ready, and from then on drop it so that it never has to wait."""
    said = ""
    for line in lines:
        said = line.strip() or said
        if line.startswith("Ready"):
            threading.Thread(target=_drop, args=(lines,), daemon=True).start()
            return
    lines.close()
    raise BenchmarkError(f"the server did not start; its last words: {said}")


def _drop(lines: IO[str]) -> None:
    with lines:
        for _ in lines:
            pass

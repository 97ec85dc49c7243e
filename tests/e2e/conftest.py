"""The real thing: the base model in an archive, served by a real TorchServe."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.e2e.stack import Stack, run_stack
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.torchserve.client import GrpcClient, RestClient
from whisper_serve.torchserve.endpoints import on_free_ports
from whisper_serve.torchserve.server import ServerConfig, TorchServe
from whisper_serve.wire import WindowOptions, pack_window

PROBE = pack_window(np.zeros(16_000, np.float32), WindowOptions(language="en"))


class Served:
    """A ready server with its clients."""

    def __init__(self, server: TorchServe, rest: RestClient, grpc: GrpcClient) -> None:
        self.endpoints = server.config.endpoints
        self.temp_dir = server.config.temp_dir
        self.url = server.predictions_url
        self.rest, self.grpc = rest, grpc

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels, as Prometheus would read it."""
        lines = httpx.get(self.endpoints.metrics_url, trust_env=False).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{"))

    def workers(self) -> list[dict[str, object]]:
        """What the management API says of the workers."""
        answer = httpx.get(f"{self.endpoints.management_url}/models/whisper", trust_env=False)
        return [worker for version in answer.json() for worker in version["workers"]]


Serve = Callable[..., AbstractContextManager[Served]]


@pytest.fixture(scope="session")
def serve(archive: Path) -> Serve:
    """Starts a server of the archive; a batch size given goes over the archive's."""

    @contextmanager
    def start(batch_size: int | None = None) -> Iterator[Served]:
        # A Unix socket's path may have 107 characters at most, which pytest's own folders exceed.
        with tempfile.TemporaryDirectory(prefix="ws") as folder:
            config = ServerConfig(archive, PROBE, on_free_ports(), 1, batch_size, "cpu", temp_dir=Path(folder))
            with TorchServe(config) as server:
                assert server.wait_ready()
                with RestClient(server.predictions_url) as rest, GrpcClient(config.endpoints.grpc_target) as grpc:
                    yield Served(server, rest, grpc)

    return start


@pytest.fixture(scope="session")
def served(serve: Serve) -> Iterator[Served]:
    """One server for all tests that leave it as it was."""
    with serve() as server:
        yield server


@pytest.fixture(scope="session")
def stack(archive: Path) -> Iterator[Stack]:
    """TorchServe and the gateway, for all tests that leave them ready."""
    with run_stack(archive.parent) as running:
        yield running


@pytest.fixture(scope="session")
def jfk(clips: dict[str, Sample]) -> bytes:
    return clips["en-jfk.mp3"].path.read_bytes()

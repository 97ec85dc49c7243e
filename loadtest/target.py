"""What is tested: servers that the load test starts for itself, or ones that run already."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtest.errors import NotStarted


@dataclass(frozen=True, slots=True)
class Target:
    """Addresses, what they stand for, and the process to watch if it is here."""

    url: str
    grpc: str
    torchserve_url: str
    torchserve_grpc: str
    machine: str
    model: str
    pid: int | None = None
    folder: Path | None = None

    def options(self) -> list[str]:
        """Locust's options for it."""
        return [
            *("--host", self.url, "--grpc-target", self.grpc),
            *("--torchserve-url", self.torchserve_url, "--torchserve-target", self.torchserve_grpc),
            *("--described-machine", self.machine, "--described-model", self.model),
        ]


@contextmanager
def own_servers(model: str, device: str, store: Path | None) -> Iterator[Target]:
    """`whisper-serve serve` on free ports until the end; without a store its archive is built for this run alone.

    Raises:
        NotStarted: it did not become ready.
    """
    from whisper_serve.benchmark.errors import BenchmarkError
    from whisper_serve.benchmark.machine import this_machine
    from whisper_serve.benchmark.served import started_server
    from whisper_serve.torchserve.endpoints import on_free_ports

    folder = store or Path(tempfile.mkdtemp(prefix="loadtest"))
    machine = str(this_machine(None, device))
    try:
        with started_server(model, device, folder, gateway=True, rpc_port=on_free_ports().grpc) as server:
            assert server.gateway_url
            assert server.rpc_target
            places = (server.gateway_url, server.rpc_target)
            inner = (server.endpoints.inference_url, server.endpoints.grpc_target)
            yield Target(*places, *inner, machine, model, server.pid, server.folder)
    except BenchmarkError as error:
        raise NotStarted(f"The servers did not start: {error}") from error
    finally:
        if store is None:
            shutil.rmtree(folder)

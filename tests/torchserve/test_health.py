"""The health port beside a real TorchServe: ready, without a worker, silent, gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from whisper_serve.torchserve.endpoints import on_free_ports
from whisper_serve.torchserve.errors import PortsBusy
from whisper_serve.torchserve.health import Health
from whisper_serve.torchserve.server import ServerConfig, TorchServe

# Hangs as long as the file named in the environment is there, as a worker does whose GPU has gone.
HANGING = """
import os
import time

class Hanging:
    def initialize(self, context):
        pass

    def handle(self, data, context):
        while os.path.exists(os.environ["HANG"]):
            time.sleep(0.05)
        return ["good"] * len(data)
"""


def status(port: int, path: str) -> int:
    return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).status_code


def wait_for(port: int, path: str, wanted: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while status(port, path) != wanted:
        assert time.monotonic() < deadline, f"{path} was not {wanted} in time"
        time.sleep(0.05)


@pytest.fixture
def port() -> int:
    return on_free_ports().inference


@pytest.fixture
def health(port: int) -> Iterator[Health]:
    with Health("127.0.0.1", port, unresponsive_seconds=2, probe_seconds=0.2) as running:
        yield running


def test_before_a_server_serves_it_is_alive_and_not_ready(health: Health, port: int) -> None:
    assert [status(port, path) for path in ("/livez", "/readyz", "/other")] == [200, 503, 404]


def test_taken_port_is_told(health: Health, port: int) -> None:
    with pytest.raises(PortsBusy, match=str(port)), Health("127.0.0.1", port):
        pass


@pytest.mark.e2e
def test_zombies_are_seen(
    health: Health,
    port: int,
    pack_handler: Callable[..., Path],
    configure: Callable[..., ServerConfig],
    short_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hang = short_dir / "hang"
    monkeypatch.setenv("HANG", str(hang))
    endpoints = on_free_ports()
    with TorchServe(configure(pack_handler(HANGING), endpoints=endpoints)) as server:
        assert server.wait_ready()
        with health.watching(server):
            assert [status(port, path) for path in ("/livez", "/readyz")] == [200, 200]

            # A worker that is killed is missed at once; TorchServe starts another.
            java = psutil.Process(server.process.pid)
            next(child for child in java.children(recursive=True) if "python" in child.name()).kill()
            wait_for(port, "/readyz", 503)
            wait_for(port, "/readyz", 200)
            wait_for(port, "/livez", 200)  # The new worker may have taken longer than it may be silent here.

            # One that hangs keeps /ping at 200, and its READY in the management API.
            hang.touch()
            wait_for(port, "/livez", 503)
            assert httpx.get(f"{endpoints.inference_url}/ping", trust_env=False).status_code == 200
            hang.unlink()
            wait_for(port, "/livez", 200)
            wait_for(port, "/readyz", 200)
        assert [status(port, path) for path in ("/livez", "/readyz")] == [200, 503]
    assert not [thread for thread in threading.enumerate() if type(thread).__name__ == "_Watch" and thread.is_alive()]

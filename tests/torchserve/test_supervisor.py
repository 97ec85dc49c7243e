"""The command `serve`: signals, deaths and restarts, seen from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from whisper_serve.torchserve import supervisor
from whisper_serve.torchserve.client import RestClient
from whisper_serve.torchserve.endpoints import Endpoints, on_free_ports
from whisper_serve.torchserve.errors import ServerFailed
from whisper_serve.torchserve.server import ServerConfig

pytestmark = pytest.mark.e2e

# Ready once, then it kills TorchServe, each time.
MURDEROUS = """
import os
import threading

class Murderous:
    def initialize(self, context):
        self.parent = os.getppid()

    def handle(self, data, context):
        threading.Timer(0.5, os.kill, (self.parent, 9)).start()
        return ["bye"] * len(data)
"""


@dataclass
class Command:
    """A running `whisper-serve serve`, and what it has said so far."""

    process: subprocess.Popen[str]
    endpoints: Endpoints
    health_port: int
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            self.said.extend(lines)

    def wait_for(self, text: str, times: int = 1, seconds: float = 60) -> None:
        def heard() -> bool:
            return sum(text in line for line in self.said) >= times

        wait_until(lambda: heard() or self.process.poll() is not None, seconds)
        assert heard(), self.said

    def healthy(self, path: str) -> bool:
        return httpx.get(f"http://127.0.0.1:{self.health_port}{path}", trust_env=False).is_success

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        self._reader.join()
        return code

    @property
    def server(self) -> psutil.Process:
        """The TorchServe process."""
        return next(each for each in psutil.Process(self.process.pid).children() if "java" in each.name())


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


@pytest.fixture
def command(pack_handler: Callable[..., Path], short_dir: Path) -> Iterator[Command]:
    archive, endpoints = pack_handler(), on_free_ports()
    health_port = on_free_ports().inference
    ports = [f"--{name.replace('_', '-')}-port={port}" for name, port in endpoints.ports().items()]
    ports[0] = f"--port={endpoints.inference}"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "whisper_serve",
            "serve",
            "--no-build",
            "--no-gateway",
            f"--model-store={archive.parent}",
            f"--health-port={health_port}",
            *ports,
        ],
        env={**os.environ, "TMPDIR": str(short_dir), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Command(process, endpoints, health_port)
    try:
        yield running
    finally:
        running.stop(signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_clean_stop(command: Command, short_dir: Path, number: signal.Signals) -> None:
    command.wait_for("Ready after")
    url = f"{command.endpoints.inference_url}/predictions/whisper"
    command.wait_for(f"curl -T recording.mp3 {url}")
    with RestClient(url) as client:
        assert "sizes" in client.predict(b"1").text
    processes = tree(command.process.pid)
    assert len(processes) == 3
    assert command.stop(number) == 0
    assert command.said[-1] == "Stopped.\n"
    assert all_gone(processes)
    assert list(short_dir.iterdir()) == []


def test_clean_stop_during_the_start(command: Command, short_dir: Path) -> None:
    wait_until(lambda: len(tree(command.process.pid)) > 1)
    processes = tree(command.process.pid)
    assert command.stop(signal.SIGINT) == 0
    assert command.said == ["Stopped.\n"]
    assert all_gone(processes)
    assert list(short_dir.iterdir()) == []


def test_restart_after_a_death(command: Command, short_dir: Path) -> None:
    command.wait_for("Ready after")
    assert command.healthy("/readyz")
    processes = tree(command.server.pid)
    command.server.kill()
    wait_until(lambda: not command.healthy("/readyz"))
    assert command.healthy("/livez")
    command.wait_for("TorchServe died (SIGKILL). Starting it again in 1 s.")
    command.wait_for("Ready after", times=2)
    assert all_gone(processes)
    assert len(list(short_dir.glob("whisper-serve-*"))) == 1
    with RestClient(f"{command.endpoints.inference_url}/predictions/whisper") as client:
        assert "sizes" in client.predict(b"1").text


def test_a_restart_that_fails_is_tried_again(command: Command, short_dir: Path) -> None:
    command.wait_for("Ready after")
    hidden = short_dir.with_name(f"{short_dir.name}-hidden")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        short_dir.rename(hidden)
        short_dir.touch()  # No folder: as little can be written there as on a full disk.
        command.server.kill()
        command.wait_for("TorchServe cannot be started: ")
        wait_until(lambda: bound(other, command.endpoints.inference))
        short_dir.unlink()
        hidden.rename(short_dir)
        command.wait_for("Another program already listens on the port for inference")
    command.wait_for("Ready after", times=2)


def bound(listener: socket.socket, port: int) -> bool:
    """Whether the socket has got the port and listens."""
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        return False
    listener.listen()
    return True


def test_nothing_survives_a_killed_supervisor(command: Command) -> None:
    command.wait_for("Ready after")
    processes = tree(command.process.pid)
    assert len(processes) == 3
    command.process.kill()
    wait_until(lambda: all_gone(processes), seconds=20)


def test_worker_that_dies_is_replaced_by_torchserve_alone(command: Command) -> None:
    command.wait_for("Ready after")
    (worker,) = command.server.children()
    worker.kill()
    wait_until(lambda: bool(command.server.children()) and command.server.children()[0].pid != worker.pid)
    with RestClient(f"{command.endpoints.inference_url}/predictions/whisper") as client:
        assert "sizes" in client.predict(b"1").text
    assert sum("Ready after" in line for line in command.said) == 1


@pytest.mark.slow
def test_giving_up_after_quick_deaths(
    pack_handler: Callable[..., Path], configure: Callable[..., ServerConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "MAX_QUICK_DEATHS", 3)
    said: list[str] = []
    with pytest.raises(ServerFailed, match=r"died \(SIGKILL\)\. That was death number 3 in a row: giving up\."):
        supervisor.supervise(configure(pack_handler(MURDEROUS)), said.append)
    assert [line.split(":")[0].split(" after")[0] for line in said if line.startswith("Ready")] == ["Ready"] * 3
    assert [line for line in said if "again" in line] == [
        "TorchServe died (SIGKILL). Starting it again in 1 s.",
        "TorchServe died (SIGKILL). Starting it again in 2 s.",
    ]


def test_delays_grow_up_to_a_minute() -> None:
    assert [supervisor.restart_delay(deaths) for deaths in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]

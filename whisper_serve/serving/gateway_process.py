"""The gateway as a process of its own: starting it, asking whether it is ready, stopping it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx

from whisper_serve.torchserve.child import kill_group, tied_to_parent
from whisper_serve.torchserve.endpoints import reachable

POLL_SECONDS = 0.1
PROBE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Where the gateway listens, and what it stands before.

    `torchserve` is TorchServe's gRPC address, `model` the model's name there. `grpc_port` is None where there is no
    gRPC service. `drain_seconds` is how long running requests may take to finish at the end, `keys` whether they need
    a key. All other settings are in `environment`, as WHISPER_….
    """

    torchserve: str
    model: str = "whisper"
    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = None
    drain_seconds: float = 30.0
    keys: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def url(self) -> str:
        """The address as a client on this machine uses it."""
        return f"http://{self._host}:{self.port}"

    @property
    def grpc_target(self) -> str | None:
        """The gRPC address as a client on this machine uses it."""
        return None if self.grpc_port is None else f"{self._host}:{self.grpc_port}"

    @property
    def _host(self) -> str:
        host = reachable(self.host)
        return f"[{host}]" if ":" in host else host

    def command(self) -> list[str]:
        """The command line of the process."""
        grpc_port = "off" if self.grpc_port is None else self.grpc_port
        options = {
            "host": self.host,
            "port": self.port,
            "grpc-port": grpc_port,
            "torchserve": self.torchserve,
            "name": self.model,
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        return [sys.executable, "-m", "whisper_serve", "gateway", *arguments]


class GatewayProcess:
    """The gateway in a session of its own, so that Ctrl-C in the terminal reaches only the supervisor.

    What it logs goes where this process's standard error goes.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._process = subprocess.Popen(
            tied_to_parent(config.command()),
            env=config.environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    @property
    def ready(self) -> bool:
        """Whether it says that it answers requests."""
        if self.exit_code is not None:
            return False
        try:
            return httpx.get(f"{self._config.url}/readyz", timeout=PROBE_SECONDS, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self, seconds: float, urgent: Callable[[], bool] = lambda: False) -> None:
        """Ask it to finish and stop; after `seconds`, or when `urgent` becomes true, do not ask."""
        if self.exit_code is None:
            self._process.terminate()
        deadline = time.monotonic() + seconds
        while self.exit_code is None and time.monotonic() < deadline and not urgent():
            time.sleep(POLL_SECONDS)
        kill_group(self._process.pid)
        self._process.wait()

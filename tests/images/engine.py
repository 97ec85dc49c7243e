"""Podman or Docker, and the containers it runs, as restricted as a cluster would run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

# Podman's own limits are higher than what may be set in some places.
LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
RESTRICTED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges", *LIMITS)


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine's command line."""

    program: str
    options: tuple[str, ...] = ()

    def __call__(self, *arguments: str) -> str:
        """What a command prints; it must succeed."""
        done = self.attempt(*arguments)
        assert done.returncode == 0, f"{self.program} {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return done.stdout.strip()

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self.program, *self.options, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)

    @property
    def is_docker(self) -> bool:
        return Path(self.program).name == "docker"

    def inside(self, image: str, script: str, *options: str) -> str:
        """What a shell script prints in a new container of the image."""
        entry = (*options, "--entrypoint", "/bin/bash")
        return self("run", "--rm", *RESTRICTED, *entry, image, "-c", script)

    @contextmanager
    def running(self, image: str, *options: str, **environment: str) -> Iterator[Container]:
        """A container of the image with the given WHISPER_… settings, removed at the end."""
        settings = [f"--env=WHISPER_{name.upper()}={value}" for name, value in environment.items()]
        command = ["run", "--detach", *RESTRICTED, *options, *settings, image]
        # An engine may report lesser problems besides: the last line is the container's name.
        container = Container(self, self(*command).splitlines()[-1])
        try:
            yield container
        finally:
            self.attempt("rm", "--force", "--volumes", container.name)


@dataclass(frozen=True, slots=True)
class Container:
    """One container, running or ended."""

    engine: Engine
    name: str

    def tell(self, what: str) -> str:
        """A part of its description, as a Go template."""
        return self.engine("inspect", "--format", f"{{{{{what}}}}}", self.name)

    @property
    def running(self) -> bool:
        return self.tell(".State.Running") == "true"

    @property
    def exit_code(self) -> int:
        return int(self.tell(".State.ExitCode"))

    @property
    def ip(self) -> str:
        return self.tell("range .NetworkSettings.Networks}}{{.IPAddress}}{{end")

    def port(self, inside: int) -> str:
        """Where a port that was published is reached, as host:port."""
        return self.engine("port", self.name, str(inside)).splitlines()[0]

    def logs(self) -> str:
        done = self.engine.attempt("logs", self.name)
        return done.stdout + done.stderr

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self.engine.attempt("exec", self.name, *command)

    def wait_healthy(self, seconds: float) -> None:
        """Wait until the engine calls it healthy by the image's own check."""
        deadline = time.monotonic() + seconds
        while self._health() != "healthy":
            assert self.running, self.logs()
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.5)

    def _health(self) -> str:
        if not self.engine.is_docker:
            # Podman leaves the clock to systemd, which need not be there.
            self.engine.attempt("healthcheck", "run", self.name)
        return self.tell(".State.Health.Status")

    def stop(self, seconds: int) -> float:
        """Send SIGTERM, and SIGKILL after so many seconds; returns how long it took."""
        started = time.monotonic()
        self.engine("stop", "--time", str(seconds), self.name)
        return time.monotonic() - started


def find_engine() -> Engine:
    """The engine that ENGINE names, or the first that works; skips the test where there is none."""
    asked = os.environ.get("ENGINE")
    for program in [asked] if asked else ["docker", "podman"]:
        if shutil.which(program) is None:
            continue
        # Podman's own default runtime does not run everywhere; runc does.
        runc = shutil.which("runc") if Path(program).name == "podman" else None
        engine = Engine(program, ("--runtime", runc) if runc else ())
        if engine.attempt("info").returncode == 0:
            return engine
    pytest.skip(f"images are run by {asked or 'docker or podman'}, which is not here or does not work")

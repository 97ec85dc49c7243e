"""One TorchServe process with its workers: starting it, what it prints, stopping all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

from whisper_serve.torchserve.errors import TorchServeError
from whisper_serve.torchserve.java import NO_TRACES, Java
from whisper_serve.torchserve.resources import resource
from whisper_serve.torchserve.workspace import Workspace

# TorchServe takes about 4 s to stop; it does not wait for requests.
STOP_SECONDS = 20.0
_KEPT_LINES = 40

# Run before Java in the same process: the kernel kills it when the supervisor dies in any way, so that none
# is left behind. Exits by itself when the supervisor died before the call. Workers exit when TorchServe is
# gone.
_TIED_TO_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class TorchServeProcess:
    """TorchServe in a session of its own, so that Ctrl-C in the terminal reaches only the supervisor.

    `emit` gets the lines of its log (JSON, see model_store/log4j2.xml) from another thread. What Java prints
    besides is not passed on; `output` keeps the last lines of everything.
    """

    def __init__(self, java: Java, workspace: Workspace, environment: Mapping[str, str], emit: Callable[[str], None]):
        self.output: deque[str] = deque(maxlen=_KEPT_LINES)
        self._emit = emit
        # -I: nothing in the current folder or PYTHONPATH can get in between.
        tied = [sys.executable, "-I", "-c", _TIED_TO_PARENT, str(os.getpid())]
        self._process = subprocess.Popen(
            [*tied, *java_command(java, workspace)],
            cwd=workspace.path,
            env=server_environment(java, workspace, environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask TorchServe to stop; after `seconds`, and for whatever is left of its group, do not ask."""
        if self._process.poll() is None:
            self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        _kill_group(self._process.pid)
        self._process.wait()
        self._reader.join(timeout=5)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self.output.append(line.rstrip("\n"))
                if line.startswith("{"):
                    self._emit(line.rstrip("\n"))


def java_command(java: Java, workspace: Workspace) -> Sequence[str]:
    """The command line that TorchServe's own launcher would make, without the launcher.

    The launcher is a Python process that does nothing more, and when it dies it leaves Java behind.
    """
    home = _torchserve_home()
    return [
        str(java.executable),
        *NO_TRACES,
        f"-Dmodel_server_home={home}",
        f"-Dlog4j.configurationFile={resource('model_store/log4j2.xml').as_uri()}",
        f"-Djava.io.tmpdir={workspace.temp}",
        "-cp",
        str(home / "ts" / "frontend" / "model-server.jar"),
        "org.pytorch.serve.ModelServer",
        "--python",
        sys.executable,
        "-f",
        str(workspace.properties),
        "-ncs",
    ]


def server_environment(java: Java, workspace: Workspace, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of TorchServe and its workers: the given one, made private to this run."""
    scripts = sysconfig.get_path("scripts")
    return {
        **environment,
        "JAVA_HOME": str(java.home),
        "PATH": os.pathsep.join([scripts, str(java.home / "bin"), environment.get("PATH", os.defpath)]),
        "TEMP": str(workspace.temp),
        "TMPDIR": str(workspace.temp),
        "LOG_LOCATION": str(workspace.logs),
        "METRICS_LOCATION": str(workspace.logs),
        "PYTHONUNBUFFERED": "1",
    }


def _torchserve_home() -> Path:
    spec = find_spec("ts")
    if spec is None or not spec.submodule_search_locations:
        raise TorchServeError("TorchServe is not installed: `pip install 'whisper-serve[torchserve]'`.")
    return Path(spec.submodule_search_locations[0]).parent


def _kill_group(group: int) -> None:
    """SIGKILL every process of the group and wait until none runs, 10 s at most."""
    deadline = time.monotonic() + 10
    while members := _running_members(group):
        for member in members:
            try:
                os.kill(member, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def _running_members(group: int) -> list[int]:
    members = []
    for process in psutil.process_iter(["status"]):
        try:
            # A zombie waits only for its parent to take note, which nothing here can hasten.
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
        except (ProcessLookupError, PermissionError):
            continue
    return members

"""One TorchServe process with its workers: starting it, what it prints, stopping all of it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from whisper_serve.torchserve import collector
from whisper_serve.torchserve.child import kill_group, tied_to_parent
from whisper_serve.torchserve.errors import TorchServeError
from whisper_serve.torchserve.java import MEMORY, NO_TRACES, Java
from whisper_serve.torchserve.resources import resource
from whisper_serve.torchserve.workspace import Workspace

# TorchServe takes about 4 s to stop; it does not wait for requests.
STOP_SECONDS = 20.0
_KEPT_LINES = 40


class TorchServeProcess:
    """TorchServe in a session of its own, so that Ctrl-C in the terminal reaches only the supervisor.

    `emit` gets the lines of its log (JSON, see model_store/log4j2.xml) from another thread. What Java prints
    besides is not passed on; `output` keeps the last lines of everything.
    """

    def __init__(self, java: Java, workspace: Workspace, environment: Mapping[str, str], emit: Callable[[str], None]):
        self.output: deque[str] = deque(maxlen=_KEPT_LINES)
        self._emit = emit
        self._process = subprocess.Popen(
            tied_to_parent(java_command(java, workspace)),
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
        kill_group(self._process.pid)
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
        *MEMORY,
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
    python_path = [str(Path(collector.__file__).parent), environment.get("PYTHONPATH", "")]
    return {
        # Workers share the CPUs: a thread that waits for another must not keep that one from running.
        "OMP_WAIT_POLICY": "PASSIVE",
        # oneDNN and PyTorch would keep what they prepared for the last 1024 shapes, and each length of audio has its
        # own: workers grew by 10 MB in two minutes. With 16 they stayed the same and were as fast.
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16",
        "LRU_CACHE_CAPACITY": "16",
        **environment,
        "JAVA_HOME": str(java.home),
        "PATH": os.pathsep.join([scripts, str(java.home / "bin"), environment.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(filter(None, python_path)),
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

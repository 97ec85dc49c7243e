"""Child processes that never outlive their parent, and ending the whole group of one."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence

import psutil

# Run before the program in the same process: the kernel kills it when the parent dies in any way, so that none is left
# behind. Exits by itself when the parent died before the call.
_TIED_TO_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def tied_to_parent(command: Sequence[str]) -> list[str]:
    """The command, whose first word is a path, as one that the kernel ends together with this process.

    To Linux the parent is the thread that starts it: that one has to live as long as the child is wanted.
    """
    # -I: nothing in the current folder or PYTHONPATH can get in between.
    return [sys.executable, "-I", "-c", _TIED_TO_PARENT, str(os.getpid()), *command]


def kill_group(group: int) -> None:
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


def ending(exit_code: int | None) -> str:
    """How a process ended, for people: the name of a signal, or the exit code."""
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


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

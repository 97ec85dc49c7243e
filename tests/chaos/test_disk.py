"""A disk without room for uploads."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.trial import Lab
from tests.e2e.stack import Gateway, Stack, is_ready, run_gateway, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

DISK_BYTES = 1024**2
FULL_SECONDS = 5
STORAGE_FAILED = "507 storage_failed"


@pytest.fixture
def disk(root: None, tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", tmp_path], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("may not mount a file system of its own")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_full_disk(lab: Lab, stack: Stack, disk: Path) -> None:
    with gateway_on(disk, stack) as gateway:
        outcome = lab.trial(
            f"the disk for uploads full for {FULL_SECONDS} s",
            gateway,
            partial(fill, disk / "ballast"),
            allowed=[STORAGE_FAILED],
        )
        assert outcome.errors[STORAGE_FAILED]
        wait_until(lambda: not spooled(gateway, disk), 30)
        assert list(disk.iterdir()) == []


def fill(ballast: Path) -> None:
    """Take what room there is, and what uploads that end give back, for a while."""
    until = time.monotonic() + FULL_SECONDS
    with ballast.open("wb", buffering=0) as file:
        while time.monotonic() < until:
            try:
                file.write(bytes(4096))
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017  Any other one is a mistake of the test.
                time.sleep(0.001)
    ballast.unlink()


@contextmanager
def gateway_on(disk: Path, stack: Stack) -> Iterator[Gateway]:
    """A gateway that keeps all uploads on that disk."""
    settings = {"TMPDIR": str(disk), "WHISPER_SPOOL_MEMORY_BYTES": "0"}
    with run_gateway(stack.endpoints.grpc_target, **settings) as gateway:
        wait_until(lambda: is_ready(gateway), 60)
        yield gateway


def spooled(gateway: Gateway, disk: Path) -> list[str]:
    """The files on that disk that the gateway holds open; they have no name."""
    files = Path(f"/proc/{gateway.pid}/fd")
    return [link for link in map(os.readlink, files.iterdir()) if link.startswith(str(disk))]

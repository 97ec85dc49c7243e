"""Starts that cannot succeed: they end soon, with one sentence that names the file."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from tests.chaos.report import FailedStart, Report
from tests.e2e.stack import serve_command
from whisper_serve.torchserve.archive import WeightsPlace, build_archive
from whisper_serve.torchserve.endpoints import on_free_ports

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

WEIGHTS = "model.safetensors"
SECONDS = 120
"""Less than a start may take: waiting for that limit would be no clear end."""


def cut_off(archive: Path) -> None:
    os.truncate(archive, archive.stat().st_size // 2)


def no_archive(archive: Path) -> None:
    archive.write_bytes(b"RIFF" + bytes(1000))


def nothing(archive: Path) -> None:
    archive.unlink()


def no_weights(archive: Path) -> None:
    leave_out(archive, WEIGHTS)


def no_handler(archive: Path) -> None:
    leave_out(archive, "whisper_handler.py")


def damaged_weights(archive: Path) -> None:
    """One byte in the middle of the weights is another one."""
    with zipfile.ZipFile(archive) as packed:
        inside = packed.getinfo(WEIGHTS)
    with archive.open("r+b") as file:
        flip(file, inside.header_offset + inside.file_size // 2)


@pytest.mark.parametrize(
    ("cause", "damage", "words"),
    [
        ("no archive", nothing, "whisper.mar"),
        ("another file in its place", no_archive, "whisper.mar"),
        ("an archive that was cut off", cut_off, "whisper.mar"),
        ("an archive without its handler", no_handler, "whisper.mar"),
        ("an archive without its weights", no_weights, WEIGHTS),
        ("a byte of the weights changed", damaged_weights, "whisper.mar"),
    ],
)
def test_broken_archives(
    archive: Path, tmp_path: Path, report: Report, cause: str, damage: Callable[[Path], None], words: str
) -> None:
    damage(Path(shutil.copy(archive, tmp_path)))
    report.starts.append(failed_start(cause, tmp_path, words))


def test_broken_weights_beside_the_archive(tmp_path: Path, report: Report) -> None:
    build_archive("trial", tmp_path, place=WeightsPlace.BESIDE)
    weights = tmp_path / "whisper.safetensors"
    with weights.open("r+b") as file:
        flip(file, weights.stat().st_size // 2)
    report.starts.append(failed_start("a byte changed in weights beside the archive", tmp_path, weights.name))


def failed_start(cause: str, store: Path, words: str) -> FailedStart:
    """How a start of what is in `store` ends; fails if it succeeds or does not say why in a sentence with `words`."""
    began = time.monotonic()
    command = [*serve_command(store, on_free_ports()), "--no-build", "--no-gateway"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1, done.stderr
    assert last.startswith("Error: "), done.stderr
    assert words in last, done.stderr
    return FailedStart(cause, time.monotonic() - began, last.removeprefix("Error: ").replace(f"{store}/", ""))


def flip(file: IO[bytes], place: int) -> None:
    """Turn over all bits of one byte."""
    file.seek(place)
    value = file.read(1)[0]
    file.seek(place)
    file.write(bytes([value ^ 0xFF]))


def leave_out(archive: Path, name: str) -> None:
    """Pack the archive anew without one of its files."""
    whole = archive.with_suffix(".whole")
    archive.rename(whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(archive, "w") as new:
        for each in old.infolist():
            if each.filename != name:
                new.writestr(each, old.read(each))
    whole.unlink()

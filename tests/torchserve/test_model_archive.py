"""Reading archives, ours and others'."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from whisper_serve.torchserve.errors import ArchiveError
from whisper_serve.torchserve.model_archive import WorkerSettings, read_archive


def test_packed_archive_is_read(pack_handler: Callable[..., Path]) -> None:
    path = pack_handler(config="minWorkers: 3\nmaxWorkers: 3\nbatchSize: 7\nstartupTimeout: 99\n", name="other-name")
    archive = read_archive(path)
    assert (archive.path, archive.name, archive.version) == (path, "other-name", "1.0")
    assert archive.settings == WorkerSettings(
        workers=3, batch_size=7, max_batch_delay_ms=100, response_timeout_s=120, startup_timeout_s=99
    )
    assert archive.build == {}


def test_missing_archive_tells_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"no model archive .*none\.mar: build it with `whisper-serve build`"):
        read_archive(tmp_path / "none.mar")


def no_zip(path: Path) -> None:
    path.write_bytes(b"text")


def no_manifest(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("file", "")


def broken_config(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        manifest = {"model": {"modelName": "whisper", "configFile": "config.yaml"}}
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr("config.yaml", "a: [1")


@pytest.mark.parametrize("make", [no_zip, no_manifest, broken_config])
def test_other_files_are_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "file.mar")
    with pytest.raises(ArchiveError, match=r"file\.mar is not a TorchServe model archive"):
        read_archive(tmp_path / "file.mar")

"""The private folder of a server, and what becomes of those that nobody deleted."""

from __future__ import annotations

import os
import time
from pathlib import Path

from whisper_serve.torchserve.workspace import Workspace, delete_abandoned


def age(workspace: Path) -> None:
    old = time.time() - 3600
    os.utime(workspace / "lock", (old, old))


def test_folder_is_private_and_deleted(tmp_path: Path) -> None:
    with Workspace(tmp_path / "new parent") as workspace:
        assert workspace.path.stat().st_mode & 0o777 == 0o700
        assert workspace.temp.is_dir()
        assert workspace.logs.is_dir()
        (workspace.temp / "file").write_text("content")
    assert list((tmp_path / "new parent").iterdir()) == []


def test_abandoned_folder_is_deleted_by_the_next_start(tmp_path: Path) -> None:
    abandoned = tmp_path / "whisper-serve-abandoned"
    abandoned.mkdir()
    (abandoned / "lock").touch()
    age(abandoned)
    with Workspace(tmp_path):
        assert not abandoned.exists()


def test_folder_of_a_living_server_is_kept(tmp_path: Path) -> None:
    with Workspace(tmp_path) as living:
        age(living.path)
        delete_abandoned(tmp_path)
        assert living.temp.is_dir()


def test_young_folder_is_kept(tmp_path: Path) -> None:
    young = tmp_path / "whisper-serve-young"
    young.mkdir()
    (young / "lock").touch()
    delete_abandoned(tmp_path)
    assert young.is_dir()


def test_other_folders_are_kept(tmp_path: Path) -> None:
    other = tmp_path / "other-abandoned"
    other.mkdir()
    (other / "lock").touch()
    age(other)
    delete_abandoned(tmp_path)
    assert other.is_dir()

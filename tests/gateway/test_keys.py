from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from whisper_serve.gateway import keys
from whisper_serve.gateway.keys import KeyRing, add_key, revoke_key

SOMEBODY = (12_345, 23_456)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_for_its_owner_only_and_a_changed_one_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    entry, _ = add_key(path)
    assert mode_of(path) == 0o600
    path.chmod(0o640)
    add_key(path)
    assert mode_of(path) == 0o640
    assert revoke_key(path, entry.id)
    assert mode_of(path) == 0o640
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_changed_file_stays_whose_it_was(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    entry, _ = add_key(path)
    os.chown(path, *SOMEBODY)
    add_key(path)
    assert (path.stat().st_uid, path.stat().st_gid) == SOMEBODY
    revoke_key(path, entry.id)
    assert (path.stat().st_uid, path.stat().st_gid) == SOMEBODY


def test_a_file_that_may_not_be_given_away_is_changed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    path = tmp_path / "keys"
    add_key(path)
    monkeypatch.setattr(os, "chown", refuse)
    entry, key = add_key(path)
    assert KeyRing(path).find(key) == entry


def test_a_file_that_could_not_be_read_is_read_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keys, "RELOAD_SECONDS", 0.0)
    path = tmp_path / "keys"
    entry, key = add_key(path)
    ring = KeyRing(path)
    revoke_key(path, entry.id)
    other, new = add_key(path)
    read_text = Path.read_text

    def refuse(self: Path, encoding: str | None = None) -> str:
        raise PermissionError(f"may not read {self}")

    monkeypatch.setattr(Path, "read_text", refuse)
    with caplog.at_level(logging.INFO, logger=keys.__name__):
        assert [ring.find(key) for _ in range(3)] == [entry] * 3
        monkeypatch.setattr(Path, "read_text", read_text)  # As after a chmod: neither time nor size are others.
        assert [(ring.find(key), ring.find(new)) for _ in range(3)] == [(None, other)] * 3
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]

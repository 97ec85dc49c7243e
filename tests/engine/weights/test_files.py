from __future__ import annotations

from pathlib import Path

import pytest

from whisper_serve.engine.weights.files import appearing, cache_folder, sha256_of


def test_a_file_appears_at_the_end_with_the_usual_rights(tmp_path: Path) -> None:
    target, usual = tmp_path / "a", tmp_path / "usual"
    with appearing(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    usual.write_text("")
    assert target.read_text() == "new"
    assert target.stat().st_mode == usual.stat().st_mode


def test_after_an_error_all_is_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("old")

    def fail() -> None:
        with appearing(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder(None) == Path("/home/someone/.cache/whisper-serve")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert cache_folder(None) == Path("/var/cache/whisper-serve")
    assert cache_folder("~/models") == Path("/home/someone/models")
    assert cache_folder("/srv/models") == Path("/srv/models")

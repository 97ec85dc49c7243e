"""Downloads from a real web server on loopback."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from whisper_serve.engine.weights import CacheUnusable, DownloadFailed, Unreachable, WrongHash
from whisper_serve.engine.weights.download import download

if TYPE_CHECKING:
    from tests.engine.weights.conftest import Server

BODY = os.urandom(3_000_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


def test_the_file_arrives_whole(server: Server, tmp_path: Path) -> None:
    download(server.offer("/a/file.pt", BODY), tmp_path / "file.pt", sha256=SHA256, progress=False)
    assert (tmp_path / "file.pt").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["file.pt"]


def test_redirects_are_followed(server: Server, tmp_path: Path) -> None:
    server.redirects["/old"] = server.offer("/new", BODY)
    download(f"{server.address}/old", tmp_path / "file.pt", sha256=SHA256, progress=False)
    assert (tmp_path / "file.pt").read_bytes() == BODY


def test_without_a_terminal_nothing_is_printed(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    download(server.offer("/file.pt", BODY), tmp_path / "file.pt", sha256=SHA256, progress=True)
    assert capfd.readouterr() == ("", "")


def test_the_bar_shows_on_a_terminal(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes rich take the captured stderr for a terminal
    url = server.offer("/file.pt", BODY)
    download(url, tmp_path / "file.pt", sha256=SHA256, progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "file.pt" in shown.err
    assert "3.0" in shown.err
    download(url, tmp_path / "file.pt", sha256=SHA256, progress=False)
    assert capfd.readouterr().err == ""


def test_a_wrong_hash_names_both_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(WrongHash) as caught:
        download(server.offer("/f", BODY), tmp_path / "f", sha256="0" * 64, progress=False)
    assert (caught.value.expected, caught.value.found) == ("0" * 64, SHA256)
    assert f"expected {'0' * 64}, found {SHA256}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_http_error_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="found HTTP 404") as caught:
        download(f"{server.address}/nothing", tmp_path / "f", sha256=SHA256, progress=False)
    assert not isinstance(caught.value, Unreachable)
    assert list(tmp_path.iterdir()) == []


def test_a_connection_that_breaks_off(server: Server, tmp_path: Path) -> None:
    server.cut_after = 1_000_000
    with pytest.raises(Unreachable, match="cannot be reached"):
        download(server.offer("/f", BODY), tmp_path / "f", sha256=SHA256, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_goes_silent(server: Server, tmp_path: Path) -> None:
    server.silent_after = 1_000_000
    with pytest.raises(Unreachable, match="timed out"):
        download(server.offer("/f", BODY), tmp_path / "f", sha256=SHA256, progress=False, read_seconds=0.3)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as taken:  # bound, but not listening: the port refuses
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable, match="cannot be reached"):
            download(f"http://127.0.0.1:{taken.getsockname()[1]}/f", tmp_path / "f", sha256=SHA256, progress=False)


def test_a_folder_that_is_not_there(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CacheUnusable, match="gone"):
        download(server.offer("/f", BODY), tmp_path / "gone" / "f", sha256=SHA256, progress=False)

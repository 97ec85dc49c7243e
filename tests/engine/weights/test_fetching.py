from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from whisper_serve.engine.weights.errors import SourceNotFound, WrongHash
from whisper_serve.engine.weights.fetching import fetch_all, read_address

if TYPE_CHECKING:
    from tests.engine.weights.conftest import Server

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_file_is_fetched_once_and_repaired_when_it_is_wrong(server: Server, tmp_path: Path) -> None:
    address = f"{server.offer('/a/model%20x.pt', CONTENT)}#sha256={SHA256.upper()}"
    target = tmp_path / "model x.pt"
    for requests in (1, 1):
        assert fetch_all([address], tmp_path) == [target]
        assert target.read_bytes() == CONTENT
        assert len(server.requests) == requests
    target.write_bytes(b"half of it")
    fetch_all([address], tmp_path)
    assert target.read_bytes() == CONTENT


def test_a_wrong_file_is_not_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(WrongHash):
        fetch_all([f"{server.offer('/model.pt', b'something else')}#sha256={SHA256}"], tmp_path)
    assert not (tmp_path / "model.pt").exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("model.pt#sha256=" + SHA256, "address of a file"),
        ("file:///etc/passwd#sha256=" + SHA256, "address of a file"),
        ("https://host/#sha256=" + SHA256, "address of a file"),
        ("https://host/..%2Fmodel.pt#sha256=" + SHA256, "address of a file"),
        ("https://host/.hidden#sha256=" + SHA256, "address of a file"),
        ("https://host/model.pt", "SHA-256"),
        ("https://host/model.pt#sha256=123", "SHA-256"),
    ],
)
def test_what_is_no_address_is_told(address: str, said: str) -> None:
    with pytest.raises(SourceNotFound, match=said):
        read_address(address)


def test_two_files_cannot_have_one_name(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=r"two addresses end in m\.pt"):
        fetch_all([f"https://a/m.pt#sha256={SHA256}", f"https://b/m.pt#sha256={SHA256}"], tmp_path)

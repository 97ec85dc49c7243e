"""Weights from addresses of your own, each with the SHA-256 that its file must have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .errors import SourceNotFound
from .files import reserved, sha256_of

_FRAGMENT = re.compile(r"sha256=([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at `url`, which is kept as `name` and has the SHA-256 `sha256`, in lower-case hexadecimal."""

    url: str
    name: str
    sha256: str


def fetch_all(addresses: Sequence[str], folder: Path, *, progress: bool = True) -> list[Path]:
    """Have the files of ``URL#sha256=HEX`` in a folder, fetching those that are missing or wrong; their paths.

    Raises SourceNotFound for an address that is none or twice under one name, before anything is fetched; and
    DownloadFailed, WrongHash, CacheUnusable.
    """
    files = [read_address(address) for address in addresses]
    names = [file.name for file in files]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise SourceNotFound(f"two addresses end in {doubled}: each file needs a name of its own")
    return [_fetched(file, folder, progress) for file in files]


def read_address(address: str) -> RemoteFile:
    """The file that ``URL#sha256=HEX`` names. Raises SourceNotFound."""
    url, _, fragment = address.partition("#")
    parts = urlsplit(url)
    name = unquote(parts.path.rsplit("/", 1)[-1])
    hash_given = _FRAGMENT.fullmatch(fragment)
    # A name is one part of a path and nothing hidden, whatever was escaped in the address.
    if parts.scheme not in ("http", "https") or not parts.netloc or "/" in name or name.startswith(".") or not name:
        raise SourceNotFound(f"{address}: expected the http(s) address of a file")
    if hash_given is None:
        raise SourceNotFound(
            f"{address}: expected the file's SHA-256 at its end, as #sha256= and 64 hexadecimal digits"
        )
    return RemoteFile(url, name, hash_given[1].lower())


def _fetched(file: RemoteFile, folder: Path, progress: bool) -> Path:
    from .download import download  # its HTTP client is needed here only

    target = folder / file.name
    with reserved(target):
        if not (target.is_file() and sha256_of(target) == file.sha256):
            download(file.url, target, sha256=file.sha256, progress=progress)
    return target

"""The cache folder, and writing files into it so that they appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from .errors import CacheUnusable

BLOCK_BYTES = 1 << 20


def cache_folder(cache_dir: str | os.PathLike[str] | None) -> Path:
    """The folder for fetched weights: the argument, else a folder in the user's cache."""
    return Path(cache_dir).expanduser() if cache_dir else user_cache() / "whisper-serve"


def user_cache() -> Path:
    """The user's cache folder as the XDG base directory specification defines it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what is written there becomes `path` in one step at the end.

    After an error the temporary file is deleted and `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def reserved(path: Path) -> Iterator[None]:
    """Holds the lock of a cache file, creating its folder: one process makes the file, others wait for it.

    The lock dies with its process. Raises CacheUnusable when the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        lock.acquire()
    except OSError as error:
        raise CacheUnusable(f"the cache folder {path.parent} cannot be written: {error}") from error
    try:
        yield
    finally:
        lock.release()

"""Fetching one file over HTTP: hashed while it streams, shown as a bar, whole or not there at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from .errors import CacheUnusable, DownloadFailed, Unreachable, WrongHash
from .files import BLOCK_BYTES, appearing

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0  # silence of the server, not the whole download


def download(
    url: str,
    target: Path,
    *,
    sha256: str,
    progress: bool = True,
    connect_seconds: float = CONNECT_SECONDS,
    read_seconds: float = READ_SECONDS,
) -> None:
    """Fetches `url` into the file `target`, which appears only if its SHA-256 is right.

    Raises Unreachable (network errors, timeouts, a connection that breaks off), DownloadFailed (an HTTP
    error), WrongHash, CacheUnusable (the disk). In every case the part fetched so far is deleted.
    """
    timeout = httpx.Timeout(read_seconds, connect=connect_seconds)
    try:
        with appearing(target) as temporary:
            found = _fetch(url, temporary, timeout, progress)
            if found != sha256:
                raise WrongHash(f"the file at {url}", sha256, found)
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise DownloadFailed(f"{url}: expected the file, found HTTP {status} {error.response.reason_phrase}") from error
    except (httpx.RequestError, httpx.InvalidURL) as error:
        raise Unreachable(f"{url} cannot be reached: {str(error) or type(error).__name__}") from error
    except OSError as error:
        raise CacheUnusable(f"{target} cannot be written: {error}") from error


def _fetch(url: str, path: Path, timeout: httpx.Timeout, progress: bool) -> str:
    """Streams the reply's body into the file; returns its SHA-256."""
    digest = hashlib.sha256()
    # Content-Encoding would make the bytes differ from those of the published hash.
    headers = {"Accept-Encoding": "identity"}
    with (
        httpx.stream("GET", url, timeout=timeout, follow_redirects=True, headers=headers) as response,
        path.open("wb") as file,
        _bar(progress) as bar,
    ):
        response.raise_for_status()
        size = response.headers.get("Content-Length", "")
        task = bar.add_task(url.rsplit("/", 1)[-1], total=int(size) if size.isdecimal() else None)
        for block in response.iter_raw(BLOCK_BYTES):
            digest.update(block)
            file.write(block)
            bar.advance(task, len(block))
    return digest.hexdigest()


def _bar(progress: bool) -> Progress:
    """A bar on a terminal's stderr, nothing elsewhere."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not (progress and console.is_terminal))

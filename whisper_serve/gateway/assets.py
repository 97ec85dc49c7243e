"""Files of the web page in memory: each with a tag of what is in it, compressed once."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.staticfiles import NotModifiedResponse

MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""Named here, because what Python takes from the system differs from machine to machine."""
REVALIDATED: Final = "no-cache"
IMMUTABLE: Final = "public, max-age=31536000, immutable"
"""For files whose address has their version in it."""
SOON: Final = "max-age=600"
"""For pictures: a browser would ask for them again with each one that is drawn."""


@dataclass(frozen=True)
class Asset:
    """A file as it is sent."""

    content: bytes
    media_type: str
    cache_control: str = REVALIDATED
    tag: str = field(init=False)
    compressed: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tag", hashlib.sha256(self.content).hexdigest()[:32])
        object.__setattr__(self, "compressed", gzip.compress(self.content, mtime=0))

    def answer(self, asked: Headers, extra: Mapping[str, str]) -> Response:
        """The file, compressed for who takes that, or 304 for who has it; `extra` headers go with both."""
        zipped = "gzip" in asked.get("accept-encoding", "") and len(self.compressed) < len(self.content)
        tag = f'"{self.tag}-gzip"' if zipped else f'"{self.tag}"'
        headers = {**extra, "etag": tag, "cache-control": self.cache_control, "vary": "Accept-Encoding"}
        if tag in [each.strip().removeprefix("W/") for each in asked.get("if-none-match", "").split(",")]:
            return NotModifiedResponse(Headers(headers))
        headers["content-type"] = self.media_type
        if zipped:
            headers["content-encoding"] = "gzip"
        return Response(self.compressed if zipped else self.content, headers=headers)


def read_assets(folder: Path) -> dict[str, Asset]:
    """All files below a folder, by their paths in it; those below `vendor` have a version in theirs."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _asset(path, path.relative_to(folder).parts[0]) for path in paths}


def _asset(path: Path, top: str) -> Asset:
    media_type = MEDIA_TYPES.get(path.suffix, MEDIA_TYPES[".txt"])
    cache_control = IMMUTABLE if top == "vendor" else SOON if path.suffix == ".svg" else REVALIDATED
    return Asset(path.read_bytes(), media_type, cache_control)

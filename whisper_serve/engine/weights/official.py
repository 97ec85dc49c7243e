"""The published models, by name: OpenAI's table of addresses and hashes, and its alignment heads."""

from __future__ import annotations

import base64
import gzip
import importlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from .dimensions import OFFICIAL_DIMENSIONS
from .errors import IncompatibleWeights
from .files import reserved, sha256_of, user_cache
from .openai import read_checkpoint
from .weights import AlignmentHeads, Weights

log = logging.getLogger(__name__)


def _whisper() -> Any:
    """openai-whisper, imported only when an official name is used, as its import takes seconds."""
    return importlib.import_module("whisper")


def load_official(name: str, cache: Path, *, progress: bool) -> Weights:
    """Weights of an official model: from the cache, from openai-whisper's cache, or fetched into ours.

    Raises DownloadFailed, WrongHash, CacheUnusable, IncompatibleWeights.
    """
    url: str = _whisper()._MODELS[name]
    path = _located(url, cache, progress)
    weights = read_checkpoint(path, name=name)
    if weights.dimensions != (expected := OFFICIAL_DIMENSIONS[name]):
        raise IncompatibleWeights(f"{name}: expected the dimensions {expected}, found {weights.dimensions}")
    return replace(weights, alignment_heads=official_heads(name))


def _located(url: str, cache: Path, progress: bool) -> Path:
    """The checkpoint's path, after its hash was found right."""
    sha256, filename = url.split("/")[-2:]
    target, theirs = cache / filename, user_cache() / "whisper" / filename
    for path in (target, theirs):
        if _is_right(path, sha256):
            return path
    with reserved(target):
        if not _is_right(target, sha256):  # another process may have fetched it while we waited
            from .download import download  # its HTTP client is needed here only

            download(url, target, sha256=sha256, progress=progress)
    return target


def _is_right(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    if (found := sha256_of(path)) != sha256:
        log.warning("%s is not used: expected SHA-256 %s, found %s", path, sha256, found)
    return found == sha256


def official_heads(name: str) -> AlignmentHeads:
    """(layer, head) pairs whose cross-attention is aligned with the speech, from openai-whisper's table.

    There they are a mask of decoder layers × heads, one byte each, in gzip and base 85.
    """
    width = OFFICIAL_DIMENSIONS[name].n_text_head
    mask = gzip.decompress(base64.b85decode(_whisper()._ALIGNMENT_HEADS[name]))
    return tuple(divmod(index, width) for index, marked in enumerate(mask) if marked)

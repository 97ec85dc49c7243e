"""One entrance for every source of weights."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from . import ctranslate2, huggingface
from .dimensions import OFFICIAL_DIMENSIONS
from .errors import DownloadFailed, SourceNotFound, UnknownLayout, UnknownModel
from .files import cache_folder
from .official import load_official
from .openai import is_checkpoint, read_checkpoint
from .random_init import PREFIX, random_official
from .safetensors_file import is_safetensors, read_weights_file
from .trial import load_trial
from .weights import Weights

log = logging.getLogger(__name__)

DEFAULT_MODEL = "base"


def load_weights(
    source: str | os.PathLike[str], *, cache_dir: str | os.PathLike[str] | None = None, progress: bool = True
) -> Weights:
    """Weights from a name or a path, complete and checked, in the type they are stored in.

    Names: the official ones (`tiny` … `large-v3-turbo`, fetched once), `trial` (base, by pip), `default` (the
    official base, or trial where that cannot be fetched), `random:` and an official name. Paths: a checkpoint
    of OpenAI's (.pt), a file of `save_weights` (.safetensors), a Hugging Face folder, a CTranslate2 folder.
    A name wins over a path of the same spelling: write `./base` for the path.

    Fetched models are kept in `cache_dir`; default: a folder in the user's cache.
    Raises WeightsError, whose tree errors.py shows.
    """
    if isinstance(source, str) and (load := _NAMES.get(source)):
        return load(source, cache_folder(cache_dir), progress)
    if isinstance(source, str) and source.startswith(PREFIX):
        return random_official(source)
    return _load_path(source)


def _load_default(_: str, cache: Path, progress: bool) -> Weights:
    try:
        return load_official(DEFAULT_MODEL, cache, progress=progress)
    except DownloadFailed as error:
        log.warning("using the trial model (base in float16 by pip), as OpenAI's cannot be fetched: %s", error)
        return load_trial(cache, progress=progress)


def _load_trial(_: str, cache: Path, progress: bool) -> Weights:
    return load_trial(cache, progress=progress)


def _load_official(name: str, cache: Path, progress: bool) -> Weights:
    return load_official(name, cache, progress=progress)


_NAMES: Mapping[str, Callable[[str, Path, bool], Weights]] = {
    "default": _load_default,
    "trial": _load_trial,
    **dict.fromkeys(OFFICIAL_DIMENSIONS, _load_official),
}
KNOWN_NAMES = tuple(_NAMES)
# What a folder holds, by the file that tells.
_FOLDERS: Mapping[str, Callable[[Path], Weights]] = {
    ctranslate2.MODEL: ctranslate2.read_folder,
    huggingface.TENSORS: huggingface.read_folder,
    huggingface.SHARDS: huggingface.read_folder,
}


def _load_path(source: str | os.PathLike[str]) -> Weights:
    path = Path(source).expanduser()
    if path.is_dir():
        return _load_folder(path)
    if not path.is_file():
        raise _nothing_there(source)
    if path.name == ctranslate2.MODEL:
        return ctranslate2.read_folder(path.parent)
    return _load_file(path)


def _load_file(path: Path) -> Weights:
    """The first bytes tell the format; the suffix is free."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
        if is_checkpoint(head):
            return read_checkpoint(path, name=path.stem)
        if is_safetensors(head):
            return read_weights_file(path)
    except OSError as error:
        raise UnknownLayout(f"{path} cannot be read: {error}") from error
    raise UnknownLayout(f"{path}: expected a checkpoint of OpenAI's or a safetensors file, found neither")


def _load_folder(folder: Path) -> Weights:
    for marker, read in _FOLDERS.items():
        if (folder / marker).is_file():
            return read(folder)
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise UnknownLayout(f"{folder}: expected one of {', '.join(_FOLDERS)}, found {found}")


def _nothing_there(source: str | os.PathLike[str]) -> SourceNotFound | UnknownModel:
    """A bare word was meant as a name, anything else as a path."""
    text = os.fspath(source)
    if isinstance(source, str) and os.sep not in text and Path(text).suffix.lower() not in {".pt", ".safetensors"}:
        return UnknownModel(
            f"{text!r} is neither a model nor a path: expected {', '.join(KNOWN_NAMES)}, {PREFIX}NAME, "
            "or the path of a checkpoint or folder"
        )
    return SourceNotFound(f"{text}: expected a checkpoint or a folder with weights, found nothing there")

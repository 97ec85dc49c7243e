"""Our own file: safetensors under OpenAI's names, with all else about the model in the metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .dimensions import Dimensions
from .errors import UnknownLayout, WrongHash
from .files import appearing
from .layout import complete
from .weights import AlignmentHeads, Weights

# One entry for all, as safetensors writes several in random order, and equal weights should make equal files.
_METADATA_KEY = "whisper_serve"
_VERSION = 1


def save_weights(weights: Weights, path: Path) -> None:
    """Writes the weights as one safetensors file that `load_weights` maps into memory.

    The file appears only when it is whole; an existing one is replaced in one step. Raises OSError.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.tensors.items()}
    metadata = {
        "version": _VERSION,
        "name": weights.name,
        "dimensions": weights.dimensions.as_dict(),
        "alignment_heads": weights.alignment_heads,
        "sha256": digest(tensors),
    }
    with appearing(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # as the umask wants it; safetensors would let only the owner read the file
        try:
            save_file(tensors, temporary, {_METADATA_KEY: json.dumps(metadata)})
        except SafetensorError as error:
            raise OSError(f"{path} cannot be written: {error}") from error
        temporary.chmod(mode)


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """The SHA-256 of the tensors' names and bytes: with damaged weights the model would say wrong words."""
    state = hashlib.sha256()
    for name in sorted(tensors):
        state.update(name.encode())
        state.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return state.hexdigest()


def is_safetensors(head: bytes) -> bool:
    """True for a file that begins like safetensors: a header length of 8 bytes, then JSON."""
    return head[8:9] == b"{"


def read_weights_file(path: Path) -> Weights:
    """Weights from a file of `save_weights`, memory-mapped.

    Raises UnknownLayout, IncompatibleWeights, or WrongHash where a tensor is not as it was written.
    """
    entries, tensors = read_tensors(path)
    metadata = _metadata(path, entries.get(_METADATA_KEY, "null"))
    if metadata.get("version") != _VERSION:
        raise UnknownLayout(
            f"{path}: expected a safetensors file written by whisper-serve (version {_VERSION}), found "
            f"{_found_version(metadata)}; of a Hugging Face model give the folder, not the file"
        )
    if not isinstance(sizes := metadata.get("dimensions"), dict):
        raise UnknownLayout(f"{path}: metadata: expected the dimensions, found {sizes!r:.80}")
    _check_digest(path, metadata.get("sha256"), tensors)
    heads = alignment_heads(path, metadata.get("alignment_heads"))
    name = str(metadata.get("name", path.stem))
    return complete(str(path), name, Dimensions.from_mapping(sizes), tensors, heads)


def _metadata(path: Path, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UnknownLayout(f"{path}: metadata: expected JSON, found {text!r:.80}") from error
    return value if isinstance(value, dict) else {}


def _check_digest(path: Path, expected: str | None, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raises WrongHash. Files of early versions hold no digest."""
    if expected is not None and (found := digest(tensors)) != expected:
        raise WrongHash(str(path), expected, found)


def _found_version(metadata: dict[str, Any]) -> str:
    return f"version {metadata['version']}" if "version" in metadata else "one written by other software"


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Metadata and tensors of any safetensors file, memory-mapped. Raises UnknownLayout if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise UnknownLayout(f"{path}: expected a safetensors file, found one that cannot be read: {error}") from error


def alignment_heads(path: Path, value: Any) -> AlignmentHeads | None:
    """Alignment heads from their JSON form: a list of [layer, head] pairs, or null. Raises UnknownLayout."""
    if value is None:
        return None
    try:
        return tuple((int(layer), int(head)) for layer, head in value)
    except (TypeError, ValueError) as error:
        raise UnknownLayout(f"{path}: alignment_heads: expected [layer, head] pairs, found {value!r:.80}") from error

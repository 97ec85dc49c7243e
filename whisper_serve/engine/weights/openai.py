"""OpenAI's checkpoints (.pt): a pickle of `dims` and `model_state_dict`."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError  # what torch.load reads files named .safetensors with

from .dimensions import Dimensions
from .errors import UnknownLayout
from .layout import complete
from .weights import Weights

_ZIP_MAGIC = b"PK\x03\x04"
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # of torch.save before PyTorch 1.6


def is_checkpoint(head: bytes) -> bool:
    """True for a file that begins like one of torch.save; 16 bytes of it are enough."""
    return head.startswith((_ZIP_MAGIC, _LEGACY_MAGIC))


def read_checkpoint(path: Path, *, name: str) -> Weights:
    """Weights of a checkpoint, mapped into memory. Raises UnknownLayout or IncompatibleWeights."""
    checkpoint = _unpickled(path)
    if not isinstance(checkpoint, dict):
        raise UnknownLayout(f"{path}: expected a dictionary, found {type(checkpoint).__name__}")
    dimensions = Dimensions.from_mapping(_part(path, checkpoint, "dims"))
    tensors = _part(path, checkpoint, "model_state_dict")
    if strange := [key for key, value in tensors.items() if not isinstance(value, torch.Tensor)]:
        raise UnknownLayout(f"{path}: model_state_dict: expected tensors only, found something else in {strange[0]}")
    return complete(str(path), name, dimensions, tensors)


def _unpickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UnknownLayout(
            f"{path}: expected a checkpoint of OpenAI's Whisper, but PyTorch cannot read it: {reason}"
        ) from error


def _part(path: Path, checkpoint: dict[Any, Any], key: str) -> dict[str, Any]:
    part = checkpoint.get(key)
    if not isinstance(part, dict):
        found = ", ".join(sorted(map(str, checkpoint))[:5]) or "nothing"
        raise UnknownLayout(f"{path}: expected the keys dims and model_state_dict, found {found}; no {key} to read")
    return part

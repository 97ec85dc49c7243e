"""Whisper weights: one loader for every format, one result."""

from .dimensions import OFFICIAL_DIMENSIONS, Dimensions
from .errors import (
    CacheUnusable,
    DownloadFailed,
    IncompatibleWeights,
    QuantizedWeights,
    SourceNotFound,
    UnknownLayout,
    UnknownModel,
    Unreachable,
    WeightsError,
    WrongHash,
)
from .loader import KNOWN_NAMES, load_weights
from .safetensors_file import save_weights
from .weights import AlignmentHeads, Weights

__all__ = [
    "KNOWN_NAMES",
    "OFFICIAL_DIMENSIONS",
    "AlignmentHeads",
    "CacheUnusable",
    "Dimensions",
    "DownloadFailed",
    "IncompatibleWeights",
    "QuantizedWeights",
    "SourceNotFound",
    "UnknownLayout",
    "UnknownModel",
    "Unreachable",
    "Weights",
    "WeightsError",
    "WrongHash",
    "load_weights",
    "save_weights",
]

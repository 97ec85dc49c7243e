"""The batched Whisper engine: torch, no server."""

from .devices import DeviceError, resolve_device
from .engine import Engine
from .options import DEFAULT_SUPPRESSED, FALLBACK_TEMPERATURES, DecodingOptions
from .results import DecodedSegment, DecodedWord, DecodingResult, LanguageDetection, WindowResult
from .task import SAMPLE_RATE
from .tokenizer import WhisperTokenizer

__all__ = [
    "DEFAULT_SUPPRESSED",
    "FALLBACK_TEMPERATURES",
    "SAMPLE_RATE",
    "DecodedSegment",
    "DecodedWord",
    "DecodingOptions",
    "DecodingResult",
    "DeviceError",
    "Engine",
    "LanguageDetection",
    "WhisperTokenizer",
    "WindowResult",
    "resolve_device",
]

"""The batched Whisper engine: torch, no server."""

from .engine import SAMPLE_RATE, Engine, resolve_device
from .options import FALLBACK_TEMPERATURES, DecodingOptions
from .results import DecodedSegment, DecodingResult, LanguageDetection, WindowResult

__all__ = [
    "FALLBACK_TEMPERATURES",
    "SAMPLE_RATE",
    "DecodedSegment",
    "DecodingOptions",
    "DecodingResult",
    "Engine",
    "LanguageDetection",
    "WindowResult",
    "resolve_device",
]

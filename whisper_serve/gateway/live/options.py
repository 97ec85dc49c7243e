"""What is asked of a live stream, read from JSON or from a query string."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from whisper_serve.request import FALSE, TRUE
from whisper_serve.speech import SAMPLE_RATE, VadOptions, language_code
from whisper_serve.wire import InvalidOption, WindowOptions

PCM: Final = "pcm_s16le"
CONTAINERS: Final = ("webm", "ogg", "mp4")
"""Told by the name that MediaRecorder's types have; FFmpeg finds out by itself which it is."""
ENCODINGS: Final = (PCM, *CONTAINERS)
RATES: Final = (8_000, 192_000)
CHANNELS: Final = (1, 8)
PAUSES: Final = (200, 3_000)
DEFAULT_VAD: Final = VadOptions(min_silence_ms=600)


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How a stream is to be transcribed.

    Raises:
        InvalidOption: a value is out of range.
    """

    window: WindowOptions = field(default_factory=WindowOptions)
    encoding: str = PCM
    sample_rate: int = SAMPLE_RATE
    """Of raw samples; a container says it itself."""
    channels: int = 1
    """Of raw samples, interleaved."""
    interim_results: bool = True
    vad: VadOptions = DEFAULT_VAD
    """How speech is found; `min_silence_ms` is the pause that ends an utterance."""
    model: str | None = None
    condition_on_previous_text: bool = False
    """Whether what was said before is part of an utterance's prompt."""

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise InvalidOption("encoding", f"encoding must be one of {', '.join(ENCODINGS)}, not {self.encoding!r}")
        _check_range("sample_rate", self.sample_rate, RATES, "hertz")
        _check_range("channels", self.channels, CHANNELS, "channels")
        _check_range("endpointing_ms", self.vad.min_silence_ms, PAUSES, "milliseconds")

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> LiveOptions:
        """Fields by name, with values as JSON has them or as text; those that are not known are ignored.

        Raises:
            InvalidOption: a field's value cannot be used.
        """
        given = {name: value for name, value in fields.items() if value is not None and value != ""}
        window = WindowOptions(
            task=given.get("task", "transcribe"),
            language=_language(given),
            prompt=_text(given, "prompt"),
            word_timestamps=_flag(given, "words", False),
            beam_size=_integer(given, "beam_size", 0) if "beam_size" in given else None,
        )
        pause = _integer(given, "endpointing_ms", DEFAULT_VAD.min_silence_ms)
        _check_range("endpointing_ms", pause, PAUSES, "milliseconds")
        return cls(
            window=window,
            encoding=_text(given, "encoding") or PCM,
            sample_rate=_integer(given, "sample_rate", SAMPLE_RATE),
            channels=_integer(given, "channels", 1),
            interim_results=_flag(given, "interim_results", True),
            vad=replace(DEFAULT_VAD, min_silence_ms=pause),
            model=_text(given, "model"),
            condition_on_previous_text=_flag(given, "condition_on_previous_text", False),
        )


def read_json(text: str) -> dict[str, Any]:
    """A message that is a JSON object.

    Raises:
        InvalidOption: it is something else.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidOption("message", f"a text message must be a JSON object, not {text[:80]!r}")
    return value


def _check_range(name: str, value: int, limits: tuple[int, int], unit: str) -> None:
    least, most = limits
    if not least <= value <= most:
        raise InvalidOption(name, f"{name} must be from {least} to {most} {unit}, not {value}")


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidOption(name, f"{name} must be text, not {value!r}")
    return value


def _language(given: Mapping[str, Any]) -> str | None:
    value = _text(given, "language")
    try:
        return None if value is None else language_code(value)
    except ValueError as error:
        raise InvalidOption("language", str(error)) from error


def _flag(given: Mapping[str, Any], name: str, default: bool) -> bool:
    value = str(given.get(name, default)).lower()
    if value not in TRUE | FALSE:
        raise InvalidOption(name, f"{name} must be true or false, not {given[name]!r}")
    return value in TRUE


def _integer(given: Mapping[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    try:
        return int(value) if isinstance(value, str) else int(_whole(value))
    except (TypeError, ValueError) as error:
        raise InvalidOption(name, f"{name} must be a whole number, not {value!r}") from error


def _whole(value: object) -> int:
    """Raises ValueError for what is no whole number, such as true or 1.5."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise ValueError(value)
    return int(value)

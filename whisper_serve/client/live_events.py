"""What a live stream is asked and what it tells, the same over a WebSocket and over gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """The fields of docs/live.md."""

    language: str | None = None
    prompt: str | None = None
    task: str = "transcribe"
    encoding: str = "pcm_s16le"
    sample_rate: int = 16_000
    channels: int = 1
    interim_results: bool = True
    words: bool = False
    endpointing_ms: int = 600
    model: str | None = None
    condition_on_previous_text: bool = False
    beam_size: int | None = None

    def as_json(self) -> dict[str, Any]:
        """All that is set."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """`type` is speech_started, speech_ended, interim, final or done; times are seconds of the stream.

    Segments and words, which only final events have, are as docs/live.md tells.
    """

    type: str
    utterance: int | None = None
    start: float | None = None
    end: float | None = None
    text: str = ""
    stable: str = ""
    language: str = ""
    segments: tuple[Mapping[str, Any], ...] = ()
    words: tuple[Mapping[str, Any], ...] = field(default=())
    duration: float | None = None


class LiveFailed(Exception):
    """The server refused a stream, ended it with an error, or cannot be reached; `code` is the error's, if it told."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code

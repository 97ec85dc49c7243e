"""What is asked of the pipeline, and what comes out of it piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from whisper_serve.request import FileRequest
from whisper_serve.speech import VadOptions, WindowTranscript
from whisper_serve.wire import WindowOptions


@dataclass(frozen=True, slots=True)
class Work:
    """One file and how it is to be transcribed; an open `source` is read from its start, and left open."""

    source: BinaryIO | Path
    options: WindowOptions
    vad: VadOptions | None
    """How speech is found; None cuts the file without looking for speech."""
    model: str
    """The model's own name."""
    condition_on_previous_text: bool = False
    """Windows one after the other, each with the text before it as prompt."""
    language_per_window: bool = False
    """Each window in a language of its own, rather than the file in one."""
    client: str = "anonymous"
    size_bytes: int = 0


def work_of(asked: FileRequest, model: str, source: BinaryIO, size_bytes: int, client: str) -> Work:
    """What is asked of a file that a client sent, and of which model, by its own name."""
    return Work(
        source=source,
        options=asked.options,
        vad=asked.vad,
        model=model,
        condition_on_previous_text=asked.condition_on_previous_text,
        language_per_window=asked.language_per_window,
        client=client,
        size_bytes=size_bytes,
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A window's transcript; `start` and `end` are seconds in the file.

    The last `overlap_after` seconds are the next one's too; of parts that are given out, the text is not.
    """

    index: int
    start: float
    end: float
    window: WindowTranscript
    overlap_after: float = 0.0

"""A window on its way through the engine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from .options import DecodingOptions
from .results import DecodedSegment, DecodingResult, DroppedSegment, WindowResult
from .segments import Segmentation

Audio = npt.NDArray[np.float32]

SAMPLE_RATE: Final = 16_000
SHORTEST_REMAINDER: Final = 1.0
"""Seconds; what the model left of a window is decoded on its own only if it is longer than this."""
SHORTEST_TAIL: Final = 0.8
"""Seconds; a text that ends longer than this before its window, of which the last 0.3 s are silence, has to go on."""
MAX_CONTINUATIONS: Final = 8
"""Decodings a window at most, should the model advance in tiny steps."""
MAX_LOOPS: Final = 2
"""Decodings of a window that may go in circles: after the first, what is behind it may still be heard."""


@dataclass(slots=True)
class WindowTask:
    """A window on its way through the engine: what is left of it, and what has been heard so far."""

    row: int
    audio: Audio
    options: DecodingOptions
    language: str = ""
    """The options' language, or the one that was detected."""
    language_probability: float | None = None
    offset: float = 0.0
    attempt: int = 0
    """Which of the options' attempts comes next."""
    fallbacks: int = 0
    searches: int = 0
    segments: list[DecodedSegment] = field(default_factory=list)
    tried: list[DecodingResult] = field(default_factory=list)
    """Decodings of what is to be decoded now, one an attempt."""
    decodings: list[DecodingResult] = field(default_factory=list)
    dropped: list[DroppedSegment] = field(default_factory=list)

    def fresh(self) -> WindowTask:
        """The same window, of which nothing has been heard."""
        return replace(self, segments=[], tried=[], decodings=[], dropped=[])

    @property
    def duration(self) -> float:
        return len(self.audio) / SAMPLE_RATE

    @property
    def silent_since(self) -> float:
        """When the speech that was heard so far ended."""
        return self.segments[-1].end if self.segments else 0.0

    def advance(self, found: Segmentation) -> bool:
        """Add the segments of the newest decoding; True where the rest of the window is still to be decoded."""
        self.segments += [one.shifted(self.offset) for one in found.segments]
        if found.dropped:
            self.dropped.append(found.dropped.shifted(self.offset))
        remainder = self.duration - found.consumed
        if found.consumed <= 0 or remainder <= SHORTEST_REMAINDER or self._is_exhausted():
            return False
        self.audio = self.audio[round(found.consumed * SAMPLE_RATE) :]
        self.offset += found.consumed
        return True

    def _is_exhausted(self) -> bool:
        loops = sum(one.reason == "repetition" for one in self.dropped)
        return len(self.decodings) >= MAX_CONTINUATIONS or loops >= MAX_LOOPS

    def result(self) -> WindowResult:
        """All that has been heard so far."""
        return WindowResult(
            language=self.language,
            language_probability=self.language_probability,
            segments=tuple(self.segments),
            decodings=tuple(self.decodings),
            fallbacks=self.fallbacks,
            searches=self.searches,
            dropped=tuple(self.dropped),
        )

"""What may be asked of the engine, per window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Task = Literal["transcribe", "translate"]

FALLBACK_TEMPERATURES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Temperatures tried in turn until a result passes the thresholds (Radford et al. 2022, section 4.5)."""


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """How one window is decoded. Every row of a batch may have its own.

    The thresholds are those of Radford et al. 2022, section 4.5; ``None`` switches a check off.

    Raises:
        ValueError: a value is out of its range; the message names it.
    """

    task: Task = "transcribe"
    """``translate`` gives English text."""
    language: str | None = None
    """ISO 639-1 code of the speech; ``None`` lets the engine find out."""
    prompt: str | None = None
    """Text that is taken to come before the window: names, spelling, style."""
    temperatures: tuple[float, ...] = FALLBACK_TEMPERATURES
    """Sampling temperatures, tried in turn; 0 is greedy."""
    timestamps: bool = True
    """Whether the model predicts the times of segments."""
    word_timestamps: bool = False
    """Whether to find out when each word was said."""
    max_tokens: int | None = None
    """Most tokens to sample a window; ``None`` is half of the model's text context (224)."""
    compression_ratio_threshold: float | None = 2.4
    """A text that zlib shrinks by more than this, or that goes in circles, is repetitive and is decoded again.

    At the last temperature, circles are cut out of it. ``None`` switches both off."""
    logprob_threshold: float | None = -1.0
    """A mean log-probability a token below this means a failed decoding."""
    no_speech_threshold: float | None = 0.6
    """A no-speech probability above this, together with a failed log-probability, means silence."""

    def __post_init__(self) -> None:
        if self.task not in ("transcribe", "translate"):
            raise ValueError(f"task must be 'transcribe' or 'translate', not {self.task!r}")
        if not self.temperatures:
            raise ValueError("temperatures must hold at least one value")
        for temperature in self.temperatures:
            if not 0 <= temperature <= 1:
                raise ValueError(f"temperatures must lie between 0 and 1, not {temperature}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {self.max_tokens}")

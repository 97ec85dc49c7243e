"""What may be asked of the engine, per window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Task = Literal["transcribe", "translate"]

DEFAULT_SUPPRESSED: Final = (-1,)
"""Stands for the symbols that nobody speaks: openai-whisper's ``non_speech_tokens``."""

FALLBACK_TEMPERATURES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Temperatures tried in turn until a result passes the thresholds (Radford et al. 2022, section 4.5).

If none does, the likeliest that does not repeat itself is kept."""


class Attempt(NamedTuple):
    """One way to decode a window."""

    temperature: float
    beam_size: int | None = None


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
    hotwords: str | None = None
    """Words that are likely to come, given to the model before the prompt."""
    temperatures: tuple[float, ...] = FALLBACK_TEMPERATURES
    """Sampling temperatures, tried in turn; 0 is greedy, or beam search."""
    beam_size: int | None = None
    """How many beams are searched at temperature 0; ``None`` is greedy."""
    fallback_beam_size: int | None = 2
    """How many beams are searched after greedy decoding failed, before a temperature above 0 is tried; ``None``: no
    search. What is improbable is better searched for than sampled."""
    search_threshold: float | None = None
    """A greedy text whose mean log-probability a token is below this is searched for like one that failed, and the
    likelier of both is kept; ``None``: only what failed is."""
    best_of: int | None = None
    """How many samples the best is taken of at temperatures above 0; ``None`` is one."""
    patience: float | None = None
    """A search ends once ``beam_size`` times this many texts have ended; ``None`` is 1."""
    length_penalty: float | None = None
    """How much length counts where texts are compared: α of `strategy.likeliest`, 0 to 1; ``None`` is the mean."""
    suppress_tokens: tuple[int, ...] = DEFAULT_SUPPRESSED
    """Text tokens that are never sampled; -1 stands for the symbols that nobody speaks."""
    draft_tokens: tuple[int, ...] = ()
    """What the text is likely to begin with, timestamps included: what the model agrees with is read at once instead of
    token by token. It changes the time that greedy decoding takes, and not its result."""
    spoken_to_end: bool = True
    """Whether somebody speaks to the window's end: then the model, should it stop behind a segment, is made to go on.

    Elsewhere it would make up a text for the silence."""
    timestamps: bool = True
    """Whether the model predicts the times of segments."""
    word_timestamps: bool = False
    """Whether to find out when each word was said."""
    max_tokens: int | None = None
    """Most tokens to sample a window; ``None`` is half of the model's text context (224)."""
    compression_ratio_threshold: float | None = 2.4
    """A text that zlib shrinks by more than this, or that goes in circles, is repetitive and is decoded again.

    At the last temperature, circles are cut out of it: short ones too where it is improbable. ``None`` switches all of
    this off."""
    logprob_threshold: float | None = -1.0
    """A mean log-probability a token below this means a failed decoding."""
    no_speech_threshold: float | None = 0.6
    """A no-speech probability above this, together with a failed log-probability, means silence."""

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """How to decode a window, in turn, until a result passes the thresholds."""
        attempts = [Attempt(each, None if each else self.beam_size) for each in self.temperatures]
        if len(attempts) > 1 and attempts[0] == Attempt(0) and self.fallback_beam_size is not None:
            attempts.insert(1, Attempt(0, self.fallback_beam_size))
        return tuple(attempts)

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
        self._check_strategy()

    def _check_strategy(self) -> None:
        for name in ("beam_size", "fallback_beam_size", "best_of"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, not {number}")
        if self.patience is not None and not 0 < self.patience < math.inf:
            raise ValueError(f"patience must be above 0, not {self.patience}")
        if self.length_penalty is not None and not 0 <= self.length_penalty <= 1:
            raise ValueError(f"length_penalty must lie between 0 and 1, not {self.length_penalty}")
        if self.patience is not None and self.beam_size is None:
            raise ValueError("patience needs beam_size: only a search of beams has it")
        if self.length_penalty is not None and self.beam_size is None and self.best_of is None:
            raise ValueError("length_penalty needs beam_size or best_of: a single text is compared with none")
        if self.beam_size is not None and 0 not in self.temperatures:
            raise ValueError("beam_size needs the temperature 0: above it texts are sampled")
        if self.best_of is not None and not any(self.temperatures):
            raise ValueError("best_of needs a temperature above 0: all samples would be the same")
        if any(token < -1 for token in self.suppress_tokens):
            raise ValueError(f"suppress_tokens must hold ids of tokens, or -1, not {min(self.suppress_tokens)}")

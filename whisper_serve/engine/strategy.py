"""How many texts of a window are followed at once, and which of them is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from .options import DEFAULT_SUPPRESSED, Attempt, DecodingOptions

MOST_BEAMS_OF_GRAPHS: Final = 5
"""Each number of beams has graphs of its own, which go when another number comes: see `Workspace.search`."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """What the windows of one decoding have to have in common."""

    width: int = 1
    """Texts of each window: beams, or samples."""
    beams: bool = False
    """Whether they are the most probable ones, rather than independent of each other."""
    suppress_tokens: tuple[int, ...] = DEFAULT_SUPPRESSED

    @classmethod
    def of(cls, options: DecodingOptions, attempt: Attempt) -> Strategy:
        """As openai-whisper: beams at temperature 0, so many samples above."""
        if attempt.temperature > 0:
            return cls(options.best_of or 1, False, options.suppress_tokens)
        width = attempt.beam_size or 1
        # A single beam that stops at its first end of text is greedy.
        return cls(width, width > 1 or max_candidates(width, options.patience) > 1, options.suppress_tokens)

    @property
    def has_graphs(self) -> bool:
        """Whether CUDA graphs are made for it: one text a window or few beams, and the default symbols left out."""
        most = MOST_BEAMS_OF_GRAPHS if self.beams else 1
        return self.width <= most and self.suppress_tokens == DEFAULT_SUPPRESSED


def max_candidates(beam_size: int, patience: float | None) -> int:
    """How many texts of a window have to end before its search does (Kasai et al. 2022, arXiv:2204.05424)."""
    return max(1, round(beam_size * (patience or 1.0)))


class Candidate(Protocol):
    """A text that may be taken."""

    @property
    def tokens(self) -> Sequence[int]: ...

    @property
    def sum_logprob(self) -> float: ...


C = TypeVar("C", bound=Candidate)


def likeliest(candidates: Sequence[C], length_penalty: float | None) -> C:
    """The first candidate of the highest log-probability, as openai-whisper's ``MaximumLikelihoodRanker`` has it.

    It is divided by the number of tokens, or with a ``length_penalty`` α by ((5 + tokens) / 6)^α (Wu et al. 2016,
    arXiv:1609.08144, equation 14).
    """

    def score(candidate: C) -> float:
        length = max(1, len(candidate.tokens))
        return candidate.sum_logprob / (length if length_penalty is None else ((5 + length) / 6) ** length_penalty)

    return max(candidates, key=score)

"""Several independent samples of each window, of which the likeliest is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from torch import Tensor

from .decoding import GreedyDecoder, Sampled
from .model import WhisperModel
from .shared_cache import SharedCache
from .state import DecodingState, Prompt
from .strategy import Strategy, likeliest
from .tokenizer import WhisperTokenizer

SEED_STEP: Final = 1_000
"""By how much the seeds of a window's samples differ; the attempts at it differ by one."""


class SharedDecoder(GreedyDecoder):
    """Decodes several texts of each window, which share its audio; a window leaves the batch when all are done."""

    _cache: SharedCache

    def __init__(
        self,
        model: WhisperModel,
        tokenizer: WhisperTokenizer,
        cache: SharedCache,
        prompts: Sequence[Prompt],
        strategy: Strategy,
        state: DecodingState | None = None,
    ) -> None:
        """``cache`` holds the windows' cross-attention keys and values, and is used up; a prompt for each window."""
        cache.single.reserve(max(len(prompt.tokens) for prompt in prompts))
        rows = [replace(p, seed=p.seed + text * SEED_STEP) for p in prompts for text in range(strategy.width)]
        super().__init__(model, tokenizer, cache, rows, state, strategy.suppress_tokens)

    def _prefill(self, tokens: Tensor) -> Tensor:
        hidden = self._model.decoder.prefill(tokens, self._cache.single)
        self._cache.spread(tokens.shape[1])
        return hidden


class BestOfDecoder(SharedDecoder):
    """Samples ``strategy.width`` texts of each window, each with random numbers of its own."""

    def _collect(self, no_speech: Tensor) -> list[Sampled]:
        sampled, width = super()._collect(no_speech), self._width
        return [
            likeliest(sampled[row : row + width], self._prompts[row].length_penalty)
            for row in range(0, len(sampled), width)
        ]

"""The audio of a batch, for whoever reads it again once its texts are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from .attention_cache import KeyValueCache
from .model import TextDecoder


@dataclass(frozen=True, slots=True)
class BatchAudio:
    """Audio features (rows, audio context, state), and their keys and values if decoding has left them."""

    features: Tensor
    memory: KeyValueCache | None = None

    def cache(self, decoder: TextDecoder, rows: Sequence[int]) -> KeyValueCache:
        """A cache for some of the rows, for which keys and values are computed again only if they are gone."""
        shared = self.memory.shared(rows) if self.memory else None
        return shared or decoder.new_cache(self.features[list(rows)])

"""The output projection on a CPU: all tokens roughly in eight bits, those that could win once more in float32.

The projection is half of a small decoder's weights, and only its largest results matter: the token that is chosen, and
the few that have a share in its probability.
"""

from __future__ import annotations

from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

from .int8 import Int8Linear

MARGIN: Final = 6.0
"""How far below the largest a logit may lie to be computed exactly; what lies lower has some thousandths of the
probability together, and the rough logits are wrong by tenths."""


class ScreenedVocabulary(nn.Module):
    """Logits of all tokens: rough ones of text, exact ones of timestamps, and exact ones of all that are large."""

    def __init__(self, weight: Tensor, timestamp_begin: int) -> None:
        """``weight`` (vocabulary, state), float32; the tokens from ``timestamp_begin`` on are exact from the start."""
        super().__init__()
        self._weight = weight
        self._begin = timestamp_begin
        self._text = Int8Linear(weight[:timestamp_begin], None)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states (rows, state) → logits (rows, vocabulary)."""
        logits = hidden.new_empty(len(hidden), len(self._weight))
        logits[:, : self._begin] = self._text(hidden)
        logits[:, self._begin :] = F.linear(hidden, self._weight[self._begin :])
        return logits

    def refine(self, logits: Tensor, hidden: Tensor) -> None:
        """Make exact, in place, the text logits that are not far below the largest of their row; −∞ stays."""
        text = logits[:, : self._begin]
        rows, tokens = (text > text.amax(dim=-1, keepdim=True) - MARGIN).nonzero(as_tuple=True)
        text[rows, tokens] = (hidden[rows] * self._weight[tokens]).sum(dim=-1)

"""The padding behind a window's audio, thinned: for CPUs, on which the encoder is most of the work.

A window is padded to 30 s, whatever its length. The encoder sees all places of the audio and of the first two seconds
behind it, and of the rest each second, which counts for two in attention (proportional attention: Bolya et al. 2023,
"Token Merging", section 3). So texts stay as they are: with much less padding Whisper loses its way, and each fourth
place is too few already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

STRIDE: Final = 2
"""How many places of the thinned padding one place stands for."""
WHOLE: Final = 100
"""Places behind the audio that stay as they are: 2 s."""


@dataclass(frozen=True, slots=True)
class Thinning:
    """Which places the encoder computes."""

    places: Tensor
    """Their numbers, (computed,)."""
    counts: Tensor
    """How many places each stands for, (computed,)."""
    bias: Tensor
    """Added to the scores of attention, (1, computed): the logarithm of the counts of what is attended."""

    def expand(self, features: Tensor) -> Tensor:
        """Features (windows, computed, state) → (windows, context, state), each as often as it counts."""
        return features.repeat_interleave(self.counts, dim=1)


def thinned(audio: int, context: int) -> Thinning | None:
    """How to thin a window of which the first ``audio`` of ``context`` places are not padding.

    ``None`` where there is too little padding to be worth it.
    """
    whole = min(audio + WHOLE, context)
    groups = (context - whole) // STRIDE
    if groups < WHOLE // STRIDE:
        return None
    whole = context - groups * STRIDE
    counts = torch.ones(whole + groups, dtype=torch.long)
    counts[whole:] = STRIDE
    middles = torch.arange(whole + STRIDE // 2, context, STRIDE)
    return Thinning(torch.cat([torch.arange(whole), middles]), counts, counts.log()[None])

"""The loaded weights of one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from .dimensions import Dimensions

AlignmentHeads = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's tensors under OpenAI's state-dict names, complete and of the shapes `dimensions` demands.

    The tensors keep the type they were stored in and may be memory-mapped: treat them as read-only.
    `alignment_heads` are the (decoder layer, head) pairs whose cross-attention follows the speech in time;
    None where the source does not tell.
    """

    name: str
    dimensions: Dimensions
    tensors: Mapping[str, torch.Tensor]
    alignment_heads: AlignmentHeads | None = None

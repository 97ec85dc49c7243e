"""The layers that Whisper's blocks are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention_cache import CrossMemory, PlainCrossMemory
from .compact_memory import CompactCrossMemory


def split_heads(x: Tensor, n_head: int) -> Tensor:
    """(rows, length, state) → (rows, heads, length, head size)."""
    return x.view(*x.shape[:2], n_head, -1).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(rows, heads, length, head size) → (rows, length, state)."""
    return x.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Attention of a sequence to itself; query, key and value come from one projection."""

    def __init__(self, n_state: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.qkv = nn.Linear(n_state, 3 * n_state)
        self.out = nn.Linear(n_state, n_state)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        return split_heads(query, self.n_head), split_heads(key, self.n_head), split_heads(value, self.n_head)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attention within (rows, length, state); ``bias``, (length, length) or (1, length), is added to its scores."""
        query, key, value = self.project(x)
        if x.device.type == "cpu":  # Its kernel reads each head many times: faster if that lies together.
            query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
        return self.finish(F.scaled_dot_product_attention(query, key, value, attn_mask=bias))

    def finish(self, attended: Tensor) -> Tensor:
        projected: Tensor = self.out(merge_heads(attended))
        return projected


class CrossAttention(nn.Module):
    """Attention of text to audio; keys and values are computed once a window."""

    def __init__(self, n_state: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.compact = False
        """Whether keys and values are kept as integers."""
        self.query = nn.Linear(n_state, n_state)
        self.kv = nn.Linear(n_state, 2 * n_state)
        self.out = nn.Linear(n_state, n_state)

    def keys_values(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of audio features (rows, 1500, state), each (rows, heads, 1500, head size)."""
        key, value = self.kv(features).chunk(2, dim=-1)
        return split_heads(key, self.n_head), split_heads(value, self.n_head)

    def memory(self, features: Tensor) -> CrossMemory:
        """The same as a part of a cache."""
        if self.compact:
            return CompactCrossMemory(self.kv(features), self.n_head)
        key, value = self.keys_values(features)
        return PlainCrossMemory(key.contiguous(), value.contiguous())

    def scores(self, x: Tensor, memory: CrossMemory, heads: Sequence[int]) -> Tensor:
        """How well text (rows, length, state) fits each place of the audio, to some heads, before the softmax.

        Returns:
            float32, shape (rows, heads, length, audio context).
        """
        query = split_heads(self.query(x), self.n_head)[:, list(heads)]
        keys = memory.keys_of(heads)
        return (query @ keys.mT).float() / math.sqrt(query.shape[-1])

    def forward(self, x: Tensor, memory: CrossMemory) -> Tensor:
        query = split_heads(self.query(x), self.n_head)
        projected: Tensor = self.out(merge_heads(memory.attend(query)))
        return projected


class FeedForward(nn.Sequential):
    def __init__(self, n_state: int) -> None:
        super().__init__(nn.Linear(n_state, 4 * n_state), nn.GELU(), nn.Linear(4 * n_state, n_state))

    def forward(self, x: Tensor) -> Tensor:
        """The two linear layers with GELU between.

        Where a GPU computes in half precision, the first one's kernel does GELU too, by the formula with tanh
        (Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2): what that is off is less than the rounding.
        """
        widen, gelu, narrow = self
        if x.is_cuda and x.dtype is not torch.float32 and isinstance(widen, nn.Linear):
            hidden = torch._addmm_activation(widen.bias, x.flatten(0, -2), widen.weight.t(), use_gelu=True)
        else:
            hidden = gelu(widen(x))
        narrowed: Tensor = narrow(hidden)
        return narrowed.view(x.shape)

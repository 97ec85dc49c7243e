"""Keys and values that decoding keeps: preallocated, and compacted as rows finish."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from .devices import upload
from .phases import phase
from .weights import Dimensions


class CrossMemory(Protocol):
    """One layer's keys and values of the audio, for each row of a batch."""

    def attend(self, query: Tensor) -> Tensor:
        """Attention of queries (rows, heads, length, head size) to the audio, of the same shape."""

    def keys_of(self, heads: Sequence[int]) -> Tensor:
        """Keys of some heads, (rows, ``len(heads)``, audio context, head size)."""

    def keep(self, order: Sequence[int]) -> None:
        """Shrink to ``len(order)`` rows, row ``i`` being what row ``order[i]`` was."""

    def shared(self, rows: Sequence[int]) -> CrossMemory | None:
        """Another one of some rows of the same numbers, if there can be one: neither changes the other."""


class PlainCrossMemory:
    """Keys and values, each (rows, heads, audio context, head size), in the model's own number type."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values

    def attend(self, query: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, self.keys, self.values)

    def keys_of(self, heads: Sequence[int]) -> Tensor:
        return self.keys[:, list(heads)]

    def keep(self, order: Sequence[int]) -> None:
        self.keys, self.values = kept_rows(self.keys, order), kept_rows(self.values, order)

    def shared(self, rows: Sequence[int]) -> None:
        """None: `keep` moves the numbers."""


class KeyValueCache:
    """Static key/value memory of one batch.

    ``self_keys`` and ``self_values`` hold a tensor a layer of shape (rows, heads, text context, head size), filled
    from the left as tokens are decoded; ``cross`` holds what was computed once from the audio features of each layer.
    """

    def __init__(self, cross: Sequence[CrossMemory], like: Tensor, heads: int) -> None:
        """``like`` are the audio features (rows, audio context, state): what is kept has their type and device."""
        self.rows = len(like)
        self.width = 1
        """Rows that follow each other and have the same audio: see `shared_cache`."""
        self.cross = list(cross)
        self.self_keys: list[Tensor] = []
        self.self_values: list[Tensor] = []
        self.heads, self._size = heads, like.shape[-1] // heads
        self.like = like.new_empty(0, like.shape[-1])

    def reserve(self, context: int) -> None:
        """Make room for ``context`` tokens a row, forgetting what was decoded before."""
        shape = (self.rows, self.heads, context, self._size)
        # Zeros, not whatever memory held: a masked place still counts as 0 · value, which is not 0 for NaN.
        self.self_keys = [self.like.new_zeros(shape) for _ in self.cross]
        self.self_values = [self.like.new_zeros(shape) for _ in self.cross]

    def shared(self, rows: Sequence[int]) -> KeyValueCache | None:
        """Another one for some rows, without text, which has the audio's part in common if that is possible."""
        cross = [shared for memory in self.cross if (shared := memory.shared(rows))]
        like = self.like.new_empty(len(rows), self.like.shape[-1])
        return KeyValueCache(cross, like, self.heads) if cross else None

    def keep(self, order: Sequence[int]) -> None:
        """Shrink to ``len(order)`` rows, row ``i`` being what row ``order[i]`` was.

        Only rows whose place changes are copied; ``compact_order`` gives an order that changes as few as can be.
        """
        self.self_keys = [kept_rows(keys, order) for keys in self.self_keys]
        self.self_values = [kept_rows(values, order) for values in self.self_values]
        for memory in self.cross:
            memory.keep(order)
        self.rows = len(order)


class StaticCache(KeyValueCache):
    """A cache for batches of up to ``rows`` rows with all of the text context, whose memory outlives them."""

    def __init__(self, dims: Dimensions, rows: int, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__((), torch.zeros(rows, 1, dims.n_text_state, dtype=dtype, device=device), dims.n_text_head)
        contexts = (dims.n_text_ctx, dims.n_text_ctx, dims.n_audio_ctx, dims.n_audio_ctx)
        self._whole = [
            [self.like.new_zeros(rows, self.heads, context, self._size) for context in contexts]
            for _ in range(dims.n_text_layer)
        ]
        self.resize(rows)

    def resize(self, rows: int) -> None:
        """Have the first ``rows`` in use."""
        self.rows = rows
        used = [[tensor[:rows] for tensor in layer] for layer in self._whole]
        self.self_keys = [layer[0] for layer in used]
        self.self_values = [layer[1] for layer in used]
        self.cross = [PlainCrossMemory(layer[2], layer[3]) for layer in used]

    @phase("audio memory")
    def fill(self, keys_values: Iterable[tuple[Tensor, Tensor]], rows: int) -> None:
        """Begin a batch, with each layer's keys and values of the audio (rows, heads, audio context, head size)."""
        self.resize(rows)
        for layer, both in zip(self._whole, keys_values, strict=True):
            for memory, computed in zip(layer[2:], both, strict=True):
                memory[:rows] = computed

    def reserve(self, context: int) -> None:
        """Forget what was decoded before: there is room for any context."""
        for tensor in (*self.self_keys, *self.self_values):
            tensor.zero_()

    def keep(self, order: Sequence[int]) -> None:
        move_rows([tensor for layer in self._whole for tensor in layer], order)
        self.resize(len(order))


def move_rows(tensors: Sequence[Tensor], order: Sequence[int]) -> None:
    """Have row ``i`` of each tensor be what row ``order[i]`` was, in place."""
    moved = [(row, source) for row, source in enumerate(order) if row != source]
    if moved:
        rows, sources = upload(torch.tensor(moved), tensors[0].device).unbind(dim=1)
        for tensor in tensors:
            tensor[rows] = tensor[sources]


def kept_rows(tensor: Tensor, order: Sequence[int]) -> Tensor:
    """The rows ``order`` of a tensor, which is used up: rows that keep their place are not copied."""
    moved = [row for row, source in enumerate(order) if row != source]
    if moved:
        tensor[moved] = tensor[[order[row] for row in moved]]
    return tensor[: len(order)]


def compact_order(alive: Sequence[int], room: int | None = None) -> list[int]:
    """Order that closes the gaps of finished rows by moving rows from the end.

    Args:
        room: more rows than those alive, where some finished ones are to stay: they come behind.

    >>> compact_order([0, 2, 5])
    [0, 5, 2]
    >>> compact_order([0, 2, 5], room=4)
    [0, 5, 2, 3]
    """
    size = len(alive)
    from_end = [row for row in alive if row >= size]
    kept = set(alive)
    finished = [row for row in range(size) if row not in kept]
    front = [row if row in kept else from_end.pop() for row in range(size)]
    return front + [finished.pop() if row in kept else row for row in range(size, room or size)]

"""Keys and values that decoding keeps: preallocated, and compacted as rows finish."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


class KeyValueCache:
    """Static key/value memory of one batch.

    ``self_keys`` and ``self_values`` hold a tensor a layer of shape (rows, heads, text context, head size), filled
    from the left as tokens are decoded; ``cross_keys`` and ``cross_values`` one of shape (rows, heads, audio context,
    head size), computed once from the audio features.
    """

    def __init__(self, cross_keys: list[Tensor], cross_values: list[Tensor]) -> None:
        self.rows = len(cross_keys[0])
        self.cross_keys, self.cross_values = cross_keys, cross_values
        self.self_keys: list[Tensor] = []
        self.self_values: list[Tensor] = []

    def reserve(self, context: int) -> None:
        """Make room for ``context`` tokens a row, forgetting what was decoded before."""
        _, heads, _, size = self.cross_keys[0].shape
        shape = (self.rows, heads, context, size)
        # Zeros, not whatever memory held: a masked place still counts as 0 · value, which is not 0 for NaN.
        self.self_keys = [key.new_zeros(shape) for key in self.cross_keys]
        self.self_values = [value.new_zeros(shape) for value in self.cross_values]

    def keep(self, order: Sequence[int]) -> None:
        """Shrink to ``len(order)`` rows, row ``i`` being what row ``order[i]`` was.

        Only rows whose place changes are copied; ``compact_order`` gives an order that changes as few as can be.
        """
        moved = [row for row, source in enumerate(order) if row != source]
        sources = [order[row] for row in moved]
        for tensors in (self.self_keys, self.self_values, self.cross_keys, self.cross_values):
            for layer, tensor in enumerate(tensors):
                if moved:
                    tensor[moved] = tensor[sources]
                tensors[layer] = tensor[: len(order)]
        self.rows = len(order)


def compact_order(alive: Sequence[int]) -> list[int]:
    """Order that closes the gaps of finished rows by moving rows from the end.

    >>> compact_order([0, 2, 5])
    [0, 5, 2]
    """
    size = len(alive)
    from_end = [row for row in alive if row >= size]
    kept = set(alive)
    return [row if row in kept else from_end.pop() for row in range(size)]

"""Tensors that hold something for each row of a batch, and stay where they are in memory as rows leave."""

from __future__ import annotations

from torch import Tensor


class RowTensors:
    """Base of what has such tensors as attributes, each of shape (rows,); the attributes show the rows in use."""

    def __init__(self, **whole: Tensor) -> None:
        self._whole = whole
        self.resize(len(next(iter(whole.values()))))

    def resize(self, rows: int) -> None:
        """Have the first ``rows`` in use, of as many as there is memory for."""
        for name, tensor in self._whole.items():
            setattr(self, name, tensor[:rows])

    def keep(self, order: Tensor) -> None:
        """Row ``i`` becomes what row ``order[i]`` was, in place; those behind are no longer in use."""
        for tensor in self._whole.values():
            tensor[: len(order)] = tensor[order]
        self.resize(len(order))

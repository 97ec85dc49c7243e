"""Keys and values of several texts of each window, which have those of its audio in common."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .attention_cache import KeyValueCache, StaticCache, kept_rows, move_rows
from .devices import upload


class SharedCache(KeyValueCache):
    """A cache of windows with ``width`` texts each, whose rows follow each other.

    Only keys and values of the texts are there for each row. `keep` takes an order of windows.
    """

    def __init__(self, single: KeyValueCache, width: int) -> None:
        """``single`` holds the windows' audio and is for one text of each; it is used up."""
        super().__init__(single.cross, single.like, single.heads)
        self.single = single
        self.rows = single.rows * width
        self.width = width

    def spread(self, places: int) -> None:
        """Have all texts of a window begin with the first ``places`` of ``single``, whose memory is given up."""
        single = self.single
        for mine, theirs in ((self.self_keys, single.self_keys), (self.self_values, single.self_values)):
            for target, source in zip(mine, theirs, strict=True):
                target[:, :, :places] = source[:, :, :places].repeat_interleave(self.width, dim=0)
        self._give_up_single()

    def _give_up_single(self) -> None:
        self.single.self_keys, self.single.self_values = [], []

    def reorder(self, sources: Sequence[int], start: int, stop: int) -> None:
        """Row ``i`` becomes what row ``sources[i]`` was, of which only the places ``start`` up to ``stop`` differ."""
        moved = [(row, source) for row, source in enumerate(sources) if row != source]
        if not moved or start >= stop:
            return
        rows, others = upload(torch.tensor(moved), self.like.device).unbind(dim=1)
        for tensor in (*self.self_keys, *self.self_values):
            places = tensor[:, :, start:stop]
            places[rows] = places[others]

    def keep(self, order: Sequence[int]) -> None:
        rows = [window * self.width + text for window in order for text in range(self.width)]
        self.self_keys = [kept_rows(keys, rows) for keys in self.self_keys]
        self.self_values = [kept_rows(values, rows) for values in self.self_values]
        for memory in self.cross:
            memory.keep(order)
        self.rows = len(rows)


class StaticSharedCache(SharedCache):
    """The same for up to ``windows`` windows with all of the text context, whose memory outlives them."""

    single: StaticCache

    def __init__(self, single: StaticCache, width: int, windows: int) -> None:
        """``single`` is not used up, but is in use as long as this is."""
        super().__init__(single, width)
        shape = (windows * width, *single.self_keys[0].shape[1:])
        self._keys, self._values = ([self.like.new_zeros(shape) for _ in single.self_keys] for _ in range(2))
        self.resize(windows)

    def resize(self, windows: int) -> None:
        """Have the first ``windows`` in use."""
        self.single.resize(windows)
        self.cross = self.single.cross
        self.rows = windows * self.width
        self.self_keys = [keys[: self.rows] for keys in self._keys]
        self.self_values = [values[: self.rows] for values in self._values]

    def reserve(self, context: int) -> None:
        """Forget what was decoded before: there is room for any context."""
        for tensor in (*self.self_keys, *self.self_values):
            tensor.zero_()

    def _give_up_single(self) -> None:
        """Its memory stays."""

    def rearrange(self, sources: Tensor, places: int) -> None:
        """Row ``i`` becomes what row ``sources[i]`` was, up to so many places; nothing here waits for the device."""
        for tensor in (*self.self_keys, *self.self_values):
            tensor[:, :, :places] = tensor[:, :, :places].index_select(0, sources)

    def keep(self, order: Sequence[int]) -> None:
        self.single.keep(order)
        rows = [window * self.width + text for window in order for text in range(self.width)]
        move_rows([*self._keys, *self._values], rows)
        self.resize(len(order))

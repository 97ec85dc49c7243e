"""Memory in which batches are decoded one after the other, so that graphs captured for one serve the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import torch

from .attention_cache import StaticCache
from .batch_size import windows_at_once
from .graphs import GraphBackend, StepGraphs
from .model import WhisperModel
from .shared_cache import StaticSharedCache
from .state import DecodingState
from .tokenizer import WhisperTokenizer

SPANS: Final = (64, 128, 256)
"""Over how many places a step may look back, besides all of the text context: each number has graphs of its own."""


class Workspace:
    """Memory for batches of up to ``rows`` rows."""

    def __init__(
        self,
        model: WhisperModel,
        tokenizer: WhisperTokenizer,
        rows: int,
        most: int,
        graphs: StepGraphs,
        search_graphs: StepGraphs,
    ) -> None:
        """``most`` rows are what the device's memory is meant for."""
        context = model.dims.n_text_ctx
        self.rows = rows
        self.spans = (*(span for span in SPANS if span < context), context)
        self.graphs = graphs
        """Those over this memory."""
        self.search_graphs = search_graphs
        """Those over the memory of searches."""
        self.cache = StaticCache(model.dims, rows, model.dtype, model.device)
        self.state = DecodingState(tokenizer, rows, context, model.device)
        self._tokenizer = tokenizer
        self._searchable = partial(windows_at_once, model.dims, model.dtype.itemsize, max(rows, most))
        self._search: SearchWorkspace | None = None

    def search(self, width: int, windows: int) -> SearchWorkspace:
        """Memory for searches for the texts of so many windows, with ``width`` beams each.

        There is that of one width at a time, and of no more windows than `windows_at_once` lets be searched.
        """
        if self._search is None or self._search.width != width or self._search.windows < windows:
            self.search_graphs.clear()
            self._search = None  # Its memory is for the next one.
            room = min(self.room(windows), max(windows, self._searchable(width)))
            self._search = SearchWorkspace(self._tokenizer, self.cache, width, room)
        return self._search

    def room(self, rows: int) -> int:
        """How many rows are computed for so many: a power of two, or all that there are."""
        return min(_power_of_two(rows), self.rows)

    def span(self, places: int) -> int:
        """The shortest of ``spans`` that has so many places."""
        return next(span for span in self.spans if span >= places)


class SearchWorkspace:
    """Memory for searches with ``width`` beams for the texts of up to ``windows`` windows."""

    def __init__(self, tokenizer: WhisperTokenizer, audio: StaticCache, width: int, windows: int) -> None:
        """``audio`` is the cache that is filled with the windows' keys and values before a search."""
        self.width, self.windows = width, windows
        self.cache = StaticSharedCache(audio, width, windows)
        rows, device = windows * width, audio.like.device
        context = self.cache.self_keys[0].shape[2]
        self.state = DecodingState(tokenizer, rows, context, device)
        self.choices = torch.zeros(rows, 3, dtype=torch.float64, device=device)
        """See `BeamDecoder._choices`."""
        self.offered = torch.zeros(windows, width * (width + 1), 5, dtype=torch.float64, device=device)
        """See `BeamDecoder._offers`."""


class Workspaces:
    """The workspace of a model, which grows with the batches; threads take turns."""

    def __init__(
        self, model: WhisperModel, tokenizer: WhisperTokenizer, make_backend: Callable[[], GraphBackend]
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        # Where one kind cannot be captured, the other may.
        self._graphs, self._search_graphs = StepGraphs(make_backend), StepGraphs(make_backend)
        self._workspace: Workspace | None = None
        self._lock = threading.Lock()

    @contextmanager
    def lease(self, rows: int, most: int) -> Iterator[Workspace]:
        """A workspace for a batch of ``rows`` rows, for this thread alone; none needs more than ``most``."""
        with self._lock:
            if self._workspace is None or self._workspace.rows < rows:
                self._drop()
                room = min(_power_of_two(rows), max(rows, most))
                graphs = self._graphs, self._search_graphs
                self._workspace = Workspace(self._model, self._tokenizer, room, most, *graphs)
            yield self._workspace

    def release(self) -> None:
        """Give up the memory, once no thread uses it."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        self._graphs.clear()
        self._search_graphs.clear()
        self._workspace = None


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()

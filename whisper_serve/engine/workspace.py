"""Memory in which batches are decoded one after the other, so that graphs captured for one serve the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch

from .attention_cache import StaticCache
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
        graphs: StepGraphs,
        search_graphs: StepGraphs,
    ) -> None:
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
        self._searches: dict[int, SearchWorkspace] = {}

    def search(self, width: int, windows: int) -> SearchWorkspace:
        """Memory for searches for the texts of so many windows, with ``width`` beams each."""
        if width not in self._searches or self._searches[width].windows < windows:
            self.search_graphs.clear()
            self._searches.pop(width, None)  # Its memory is for the next one.
            self._searches[width] = SearchWorkspace(self._tokenizer, self.cache, width, self.room(windows))
        return self._searches[width]

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
        self.windows = windows
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
                self._workspace = Workspace(self._model, self._tokenizer, room, self._graphs, self._search_graphs)
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

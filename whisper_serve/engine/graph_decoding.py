"""Decoding in which each step is one graph, so that a token costs no time of the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from .decoding import STEPS_BETWEEN_SYNCS, GreedyDecoder
from .model import WhisperModel
from .state import Prompt
from .tokenizer import WhisperTokenizer
from .workspace import Workspace


class GraphDecoder(GreedyDecoder):
    """Decodes one batch in a workspace.

    There is a graph for each of few numbers of rows and of places to look back over. Rows that are done stay until the
    others fit into the next smaller number.
    """

    def __init__(
        self, model: WhisperModel, tokenizer: WhisperTokenizer, workspace: Workspace, prompts: Sequence[Prompt]
    ) -> None:
        """The workspace's cache holds the windows' cross-attention keys and values; a prompt for each row."""
        # To look whether a draft is followed would cost more than a graph's step.
        prompts = [replace(prompt, draft=()) for prompt in prompts]
        super().__init__(model, tokenizer, workspace.cache, prompts, workspace.state)
        self._workspace = workspace
        self._interval = STEPS_BETWEEN_SYNCS["cuda"]

    def _start(self) -> Tensor:
        no_speech = super()._start()
        room = self._room(len(self._prompts))
        self._workspace.cache.resize(room)
        self._workspace.state.resize(room)
        return no_speech

    def _advance(self) -> None:
        span = self._workspace.span(self._span())
        key = (len(self._state.done), span, self._samples, self._state.rules.timed)
        self._workspace.graphs.run(key, partial(self._iterate, span, masked=True))

    def _room(self, rows: int) -> int:
        return self._workspace.room(rows)

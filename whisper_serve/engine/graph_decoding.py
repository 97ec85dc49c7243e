"""Decoding in which each step is one graph, so that a token costs no time of the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from .beam_search import BeamDecoder, BeamSearch
from .decoding import STEPS_BETWEEN_SYNCS, GreedyDecoder
from .devices import upload
from .model import WhisperModel
from .state import Prompt
from .strategy import Strategy
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


class GraphBeamDecoder(BeamDecoder):
    """Searches for the texts of one batch in a workspace.

    A step's graph begins with what the host chose and ends with what it may choose of next: for one token the host
    writes one table, starts one graph and reads one table.
    """

    def __init__(
        self,
        model: WhisperModel,
        tokenizer: WhisperTokenizer,
        workspace: Workspace,
        prompts: Sequence[Prompt],
        strategy: Strategy,
    ) -> None:
        """The workspace's cache holds the windows' cross-attention keys and values; a prompt for each window."""
        self._workspace = workspace
        self._memory = workspace.search(strategy.width, len(prompts))
        self._memory.cache.resize(len(prompts))
        super().__init__(model, tokenizer, self._memory.cache, prompts, strategy, self._memory.state)
        self._stepped = False

    def _start(self) -> Tensor:
        no_speech = super()._start()
        windows = len(self._active)
        room = self._room(windows)
        self._memory.cache.resize(room)
        self._state.resize(room * self._width)
        # What there is room for besides is searched for nothing.
        self._searches += [BeamSearch(self._width, self._tokenizer.eot, limit=0)] * (room - windows)
        self._active += range(windows, room)
        self._taken += [self._halt()] * (room - windows)
        return no_speech

    def _advance(self) -> None:
        rows = len(self._state.done)
        self._memory.choices[:rows] = upload(self._choices(), self._device)
        span = self._workspace.span(self._span())
        step = partial(self._step, span)
        if self._stepped:
            key = (self._width, rows, span, self._state.rules.timed)
            self._workspace.search_graphs.run(key, step)
        else:  # The rules take in a text's first token differently.
            step()
            self._stepped = True
        self._search()

    def _step(self, span: int) -> None:
        choices = self._memory.choices[: len(self._state.done)]
        self._memory.cache.rearrange(choices[:, 0].long(), span)
        self._go_on(choices)
        self._iterate(span, masked=True)

    def _choose(self, logits: Tensor, hidden: Tensor) -> None:
        super()._choose(logits, hidden)
        self._memory.offered[: len(self._offered)] = self._offered

    def _search(self) -> None:
        self._offered = self._memory.offered[: len(self._active)]
        super()._search()

    def _move_texts(self, common: Sequence[int]) -> None:
        """The next step does it."""

    def _room(self, windows: int) -> int:
        return min(self._workspace.room(windows), self._memory.windows)

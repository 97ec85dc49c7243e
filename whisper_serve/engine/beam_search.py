"""Beam search over the windows of a batch, as openai-whisper's ``BeamSearchDecoder`` does it for one.

What is computed for all beams is tensors; which beams go on is decided here, window by window, from the few candidates
that each beam has. A window leaves the batch when its search is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .decoding import Sampled
from .devices import upload
from .model import WhisperModel
from .phases import phase
from .sample_decoding import SharedDecoder
from .shared_cache import SharedCache
from .state import DecodingState, Prompt
from .strategy import Strategy, likeliest, max_candidates
from .tokenizer import WhisperTokenizer


@dataclass(frozen=True, slots=True)
class Beam:
    """A text so far."""

    tokens: tuple[int, ...] = ()
    """Without the end of text."""
    logprobs: tuple[float, ...] = ()
    """Of each token."""
    sum_logprob: float = 0.0
    """Of all of them, and of the end of text where it was reached."""
    ended: bool = False
    urges: tuple[int, ...] = ()
    """See `Sampled.urges`."""


@dataclass(frozen=True, slots=True)
class Step:
    """How a beam may go on."""

    beam: int
    token: int
    logprob: float
    sum_logprob: float
    """Of the whole text."""
    urged: bool = False
    """Whether the beam goes on only because it is not let stop: see `TokenRules`."""


class BeamSearch:
    """The search for one window's text."""

    def __init__(self, width: int, eot: int, limit: int, patience: float | None = None) -> None:
        """Search with ``width`` beams for a text of up to ``limit`` tokens that the token ``eot`` ends."""
        self.beams: list[Beam] = [Beam()] * width
        self.ended: list[Beam] = []
        self.common = 0
        """How many tokens all beams begin with."""
        self._eot, self._limit = eot, limit
        self._wanted = max_candidates(width, patience)

    def advance(self, steps: Iterable[Step]) -> list[Step]:
        """Have the likeliest texts go on, by one token each.

        Args:
            steps: those of all beams, the likeliest text first; of each beam one more than there are beams.

        Returns:
            The step to each of the new beams.
        """
        taken: list[Step] = []
        for step in steps:
            if step.token == self._eot:
                self._end(step)
                continue
            taken.append(step)
            if len(taken) == len(self.beams):
                break
        self.beams = [self._longer(step) for step in taken]
        while self.common < self._length and len({beam.tokens[self.common] for beam in self.beams}) == 1:
            self.common += 1
        return taken

    @property
    def done(self) -> bool:
        return len(self.ended) >= self._wanted or self._length >= self._limit

    def best(self, length_penalty: float | None) -> Beam:
        """The likeliest text; where fewer have ended than there are beams, the likeliest beams make up for them."""
        open_ones = sorted(self.beams, key=lambda beam: beam.sum_logprob, reverse=True)
        missing = max(0, len(self.beams) - len(self.ended))
        return likeliest([*self.ended, *open_ones[:missing]], length_penalty)

    @property
    def _length(self) -> int:
        return len(self.beams[0].tokens)

    def _end(self, step: Step) -> None:
        if len(self.ended) < self._wanted:
            beam = self.beams[step.beam]
            self.ended.append(replace(beam, sum_logprob=step.sum_logprob, ended=True))

    def _longer(self, step: Step) -> Beam:
        beam = self.beams[step.beam]
        urges = (*beam.urges, len(beam.tokens)) if step.urged else beam.urges
        return Beam((*beam.tokens, step.token), (*beam.logprobs, step.logprob), step.sum_logprob, urges=urges)


class BeamDecoder(SharedDecoder):
    """Decodes one batch with ``strategy.width`` beams a window."""

    def __init__(
        self,
        model: WhisperModel,
        tokenizer: WhisperTokenizer,
        cache: SharedCache,
        prompts: Sequence[Prompt],
        strategy: Strategy,
        state: DecodingState | None = None,
    ) -> None:
        super().__init__(model, tokenizer, cache, prompts, strategy, state)
        width = strategy.width
        self._searches = [
            BeamSearch(width, tokenizer.eot, limit, prompt.patience)
            for prompt, limit in zip(prompts, self._limits[::width], strict=True)
        ]
        self._active = list(range(len(prompts)))
        """Which windows are still in the batch."""
        # At first all beams of a window are the same: one of them counts.
        sums = torch.tensor([0.0] + [float("-inf")] * (width - 1)).repeat(len(prompts))
        self._sums = upload(sums, self._device)
        """Log-probabilities of the beams, (rows,)."""
        self._offered = torch.empty(0)
        """How the beams may go on: see `_offers`."""
        self._taken: list[list[Step]] = []
        """How each window's beams do go on."""
        self._interval = 1  # Each step is looked at anyway.

    def _start(self) -> Tensor:
        no_speech = super()._start()
        self._search()
        return no_speech

    def _advance(self) -> None:
        self._go_on(upload(self._choices(), self._device))
        super()._advance()
        self._search()

    @phase("choice of tokens")
    def _choose(self, logits: Tensor, hidden: Tensor) -> None:
        """Offer the likeliest tokens of each beam, of which `_search` chooses."""
        self._apply_rules(logits, hidden)
        self._offered = self._offers(logits)

    def _offers(self, logits: Tensor) -> Tensor:
        """For each window how its beams may go on, the likeliest text first, as a table of what a `Step` has.

        Returns:
            float64, shape (windows, width · (width + 1), 5).
        """
        largest, tokens = logits.topk(self._width + 1)
        logprobs = largest - logits.logsumexp(dim=-1, keepdim=True)
        windows = len(logits) // self._width
        beams = torch.arange(self._width, device=self._device).repeat(windows)
        totals = self._sums[:, None] + logprobs
        urged = self._state.rules.urged
        columns = (beams[:, None].expand_as(tokens), tokens, logprobs, totals, urged[:, None].expand_as(tokens))
        table = torch.stack([column.double() for column in columns], dim=-1).view(windows, -1, len(columns))
        order = totals.view(windows, -1).argsort(dim=1, descending=True, stable=True)
        return table.take_along_dim(order[..., None], dim=1)

    def _search(self) -> None:
        """Have the searches that are not over choose of what is offered."""
        searches = [self._searches[window] for window in self._active]
        common = [search.common for search in searches]
        self._taken = [
            self._halt() if search.done else search.advance(map(_step, rows))
            for search, rows in zip(searches, self._offered.tolist(), strict=True)
        ]
        self._move_texts(common)

    def _halt(self) -> list[Step]:
        """What the beams of a window do that stays in the batch after its search."""
        return [Step(beam, self._tokenizer.eot, 0.0, 0.0) for beam in range(self._width)]

    def _choices(self) -> Tensor:
        """For each row the row that it goes on from, its next token, and the text's log-probability: float64 (rows, 3).

        It is memory of the host.
        """
        return torch.tensor(
            [
                (window * self._width + step.beam, step.token, step.sum_logprob)
                for window, own in enumerate(self._taken)
                for step in own
            ],
            dtype=torch.float64,
        )

    def _go_on(self, choices: Tensor) -> None:
        """Bring all that the rows have, but for keys and values, into the order of the new beams."""
        sources, tokens, sums = choices.unbind(dim=1)
        rules = self._state.rules
        rules.keep(sources.long())
        self._state.token.copy_(tokens)
        rules.update(self._state.token)
        self._sums = sums.float()

    def _move_texts(self, common: Sequence[int]) -> None:
        """The same for keys and values.

        Args:
            common: for each window how many tokens its beams had in common: their keys and values stay where they are.
        """
        sources = [window * self._width + step.beam for window, own in enumerate(self._taken) for step in own]
        lengths = [len(self._prompts[window * self._width].tokens) for window in self._active]
        start = min(length + same for length, same in zip(lengths, common, strict=True))
        stop = max(lengths) + len(self._searches[self._active[0]].beams[0].tokens) - 1
        self._cache.reorder(sources, start, stop)

    def _finished(self) -> list[bool]:
        return [self._searches[window].done for window in self._active]

    def _keep(self, order: Sequence[int]) -> None:
        super()._keep(order)
        self._active = [self._active[window] for window in order]
        self._taken = [self._taken[window] for window in order]

    def _collect(self, no_speech: Tensor) -> list[Sampled]:
        prompts = self._prompts[:: self._width]
        searches = self._searches[: len(prompts)]
        found = [search.best(prompt.length_penalty) for search, prompt in zip(searches, prompts, strict=True)]
        return [
            Sampled(beam.tokens, beam.logprobs, beam.sum_logprob, silence, beam.ended, beam.urges)
            for beam, silence in zip(found, no_speech.tolist(), strict=True)
        ]


def _step(row: Sequence[float]) -> Step:
    """A row of `BeamDecoder._offers`."""
    beam, token, logprob, total, urged = row
    return Step(int(beam), int(token), logprob, total, bool(urged))

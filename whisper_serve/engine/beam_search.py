"""Beam search over the windows of a batch, as openai-whisper's ``BeamSearchDecoder`` does it for one.

What is computed for all beams is tensors; which beams go on is decided here, window by window, from the few candidates
that each beam has. A window leaves the batch when its search is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .attention_cache import KeyValueCache
from .decoding import Sampled
from .devices import upload
from .model import WhisperModel
from .phases import phase
from .sample_decoding import SharedDecoder
from .state import Prompt
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
        cache: KeyValueCache,
        prompts: Sequence[Prompt],
        strategy: Strategy,
    ) -> None:
        super().__init__(model, tokenizer, cache, prompts, strategy)
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
        self._interval = 1  # Each step is looked at anyway.

    @phase("choice of tokens")
    def _choose(self, logits: Tensor, hidden: Tensor) -> None:
        """Choose how the beams go on, and bring all that the rows have into the order of the new beams."""
        state = self._state
        self._apply_rules(logits, hidden)
        searches = [self._searches[window] for window in self._active]
        common = [search.common for search in searches]
        taken = [search.advance(steps) for search, steps in zip(searches, self._steps_of(logits), strict=True)]
        self._reorder(taken, common)
        tokens, sums = zip(*((step.token, step.sum_logprob) for own in taken for step in own), strict=True)
        done = [search.done for search in searches]
        state.token.copy_(upload(torch.tensor(tokens), self._device))
        state.done.copy_(upload(torch.tensor(done).repeat_interleave(self._width), self._device))
        state.rules.update(state.token)
        self._sums = upload(torch.tensor(sums), self._device)

    def _steps_of(self, logits: Tensor) -> Iterator[Iterator[Step]]:
        """For each window, how its beams may go on, the likeliest text first."""
        largest, tokens = logits.topk(self._width + 1)
        logprobs = largest - logits.logsumexp(dim=-1, keepdim=True)
        beams = torch.arange(self._width, device=self._device).repeat(len(self._active))
        columns = (
            self._sums[:, None] + logprobs,
            logprobs,
            tokens,
            beams[:, None].expand_as(tokens),
            self._state.rules.urged[:, None].expand_as(tokens),
        )
        table = torch.stack([column.double() for column in columns], dim=-1).view(len(self._active), -1, len(columns))
        order = table[..., 0].argsort(dim=1, descending=True, stable=True)
        for rows in table.take_along_dim(order[..., None], dim=1).tolist():
            yield (
                Step(int(beam), int(token), logprob, total, bool(urged)) for total, logprob, token, beam, urged in rows
            )

    def _reorder(self, taken: Sequence[Sequence[Step]], common: Sequence[int]) -> None:
        """Have each row go on from the beam of its step.

        Args:
            common: for each window how many tokens its beams had in common: their keys and values stay where they are.
        """
        sources = [window * self._width + step.beam for window, own in enumerate(taken) for step in own]
        lengths = [len(self._prompts[window * self._width].tokens) for window in self._active]
        start = min(length + same for length, same in zip(lengths, common, strict=True))
        stop = max(lengths) + len(self._searches[self._active[0]].beams[0].tokens) - 1
        self._cache.reorder(sources, start, stop)
        self._state.rules.keep(upload(torch.tensor(sources), self._device))

    def _keep(self, order: Sequence[int]) -> None:
        super()._keep(order)
        self._active = [self._active[window] for window in order]
        self._sums = self._sums.view(-1, self._width)[list(order)].flatten()

    def _collect(self, no_speech: Tensor) -> list[Sampled]:
        prompts = self._prompts[:: self._width]
        found = [search.best(prompt.length_penalty) for search, prompt in zip(self._searches, prompts, strict=True)]
        return [
            Sampled(beam.tokens, beam.logprobs, beam.sum_logprob, silence, beam.ended, beam.urges)
            for beam, silence in zip(found, no_speech.tolist(), strict=True)
        ]

"""Autoregressive decoding of a batch of windows, each row with its own options.

One pass at one temperature a row; what to do with a poor result is `fallback`'s business. Rows that are done leave the
batch, so that the rest goes faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from .attention_cache import KeyValueCache, compact_order
from .model import WhisperModel
from .phases import phase
from .rules import TokenRules
from .tokenizer import WhisperTokenizer

STEPS_BETWEEN_SYNCS: Final = {"cpu": 1, "cuda": 8}
"""Decoder steps between looks at which rows are done: a look makes the host wait for a GPU."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the decoder is given for one row."""

    tokens: list[int]
    """Everything before the first sampled token."""
    sot_index: int
    """Where in ``tokens`` the start-of-transcript token stands."""
    temperature: float
    timestamps: bool
    max_tokens: int
    seed: int
    """Seeds the sampling of this row, so that its result does not depend on its batch mates."""
    reach: int = 0
    """A segment that ends before, in steps of 20 ms, may not be the last one: see `TokenRules`."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What one row sampled."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    sum_logprob: float
    """Over ``tokens`` and, where it was reached, the end of text."""
    no_speech_prob: float
    finished: bool
    urged_at: int | None
    """Which of ``tokens`` is the first that the row sampled only because it was not let stop."""

    def until(self, stop: int) -> Sampled:
        """The same, had the row stopped before that token."""
        logprobs = self.logprobs[:stop]
        return replace(
            self, tokens=self.tokens[:stop], logprobs=logprobs, sum_logprob=sum(logprobs), finished=True, urged_at=None
        )

    def since(self, start: int) -> Sampled:
        """What came from that token on."""
        before = sum(self.logprobs[:start])
        return replace(
            self,
            tokens=self.tokens[start:],
            logprobs=self.logprobs[start:],
            sum_logprob=self.sum_logprob - before,
            urged_at=None,
        )


class GreedyDecoder:
    """Decodes one batch: greedy rows at temperature 0, sampling rows above."""

    def __init__(
        self, model: WhisperModel, tokenizer: WhisperTokenizer, cache: KeyValueCache, prompts: Sequence[Prompt]
    ) -> None:
        """``cache`` holds the windows' cross-attention keys and values, and is used up; a prompt for each row."""
        self._model, self._tokenizer, self._prompts = model, tokenizer, prompts
        self._cache = cache
        self._device = model.device
        context = model.dims.n_text_ctx
        lengths = [len(prompt.tokens) for prompt in prompts]
        # Like openai-whisper, the last token may fall just outside the context: nothing has to read it.
        self._limits = [min(p.max_tokens, context - len(p.tokens) + 1) for p in prompts]
        steps = max(self._limits)
        cache.reserve(min(context, max(lengths) + steps))
        self._rows = list(range(len(prompts)))
        self._lengths = torch.tensor(lengths, device=self._device)
        self._longest = max(lengths)
        self._uneven = min(lengths) != self._longest
        self._limit = torch.tensor(self._limits, device=self._device)
        timestamps = torch.tensor([p.timestamps for p in prompts], device=self._device)
        reach = torch.tensor([p.reach for p in prompts], device=self._device)
        self._rules = TokenRules(tokenizer, timestamps, reach)
        self._temperature = torch.tensor([p.temperature for p in prompts], device=self._device)
        self._samples = any(p.temperature > 0 for p in prompts)
        self._uniform = self._draw(steps)
        self._done = torch.zeros(len(prompts), dtype=torch.bool, device=self._device)
        self._tokens = torch.full((len(prompts), steps), tokenizer.eot, device=self._device)
        self._logprobs = torch.zeros((len(prompts), steps), device=self._device)
        self._urged = torch.zeros((len(prompts), steps), dtype=torch.bool, device=self._device)

    def run(self) -> list[Sampled]:
        hidden, logits, no_speech = self._start()
        row_index = torch.arange(len(self._rows), device=self._device)
        interval = STEPS_BETWEEN_SYNCS.get(self._device.type, 1)
        for step in range(self._tokens.shape[1]):
            tokens = self._sample(logits, hidden, step, row_index)
            if (step + 1) % interval == 0 and not self._compact():
                break
            if len(self._rows) != len(row_index):
                kept = torch.tensor(self._rows, device=self._device)
                tokens, row_index = self._tokens[kept, step], kept
            if step + 1 < self._tokens.shape[1]:
                hidden = self._step(tokens)
                logits = self._model.decoder.step_logits(hidden)
        return self._collect(no_speech)

    def _start(self) -> tuple[Tensor, Tensor, list[float]]:
        """Read the prompts; return hidden states and logits of the first token, and the no-speech probabilities."""
        padded = torch.full((len(self._prompts), self._longest), self._tokenizer.eot)
        for row, prompt in enumerate(self._prompts):
            padded[row, : len(prompt.tokens)] = torch.tensor(prompt.tokens)
        hidden = self._model.decoder.prefill(padded.to(self._device), self._cache)
        rows = torch.arange(len(self._prompts), device=self._device)
        sot = torch.tensor([prompt.sot_index for prompt in self._prompts], device=self._device)
        at_sot = self._model.decoder.logits(hidden[rows, sot])
        no_speech: list[float] = at_sot.softmax(dim=-1)[:, self._tokenizer.no_speech].tolist()
        last = hidden[rows, self._lengths - 1]
        return last, self._model.decoder.logits(last), no_speech

    def _step(self, tokens: Tensor) -> Tensor:
        # A row that is done but not yet dropped keeps writing in the last place of its memory.
        last_place = self._model.dims.n_text_ctx - 1
        positions = self._lengths.clamp(max=last_place)
        span = min(self._longest, last_place) + 1
        mask = None
        if self._uneven:
            mask = (torch.arange(span, device=self._device) <= positions[:, None])[:, None, None]
        hidden = self._model.decoder.step(tokens, positions, span, mask, self._cache)
        self._lengths += 1
        self._longest += 1
        return hidden

    @phase("choice of tokens")
    def _sample(self, logits: Tensor, hidden: Tensor, step: int, rows: Tensor) -> Tensor:
        """Choose each row's next token and note it; rows that are done repeat the end of text."""
        self._rules.forbid(logits)
        self._model.decoder.refine(logits, hidden)
        self._rules.prefer_times(logits)
        tokens = logits.argmax(dim=-1)
        if self._samples:
            tokens = torch.where(self._temperature > 0, self._draw_tokens(logits, step, rows), tokens)
        chosen = logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(dim=-1)
        tokens = tokens.masked_fill(self._done, self._tokenizer.eot)
        self._tokens[rows, step] = tokens
        self._logprobs[rows, step] = chosen.masked_fill(self._done, 0.0)
        self._urged[rows, step] = self._rules.urged
        self._done = self._done | (tokens == self._tokenizer.eot) | (step + 1 >= self._limit)
        self._rules.update(tokens)
        return tokens

    def _draw(self, steps: int) -> Tensor:
        """Uniform numbers (rows, steps) from each row's own seed; made ahead, so that no step waits for the host."""
        if not self._samples:
            return torch.empty(0, device=self._device)
        rows = [torch.rand(steps, generator=torch.Generator().manual_seed(prompt.seed)) for prompt in self._prompts]
        return torch.stack(rows).to(self._device)

    def _draw_tokens(self, logits: Tensor, step: int, rows: Tensor) -> Tensor:
        """Sample from the tempered distribution by inverting its cumulative sum."""
        temperature = self._temperature.clamp(min=1e-3)[:, None]
        cumulative = (logits / temperature).softmax(dim=-1).cumsum(dim=-1)
        target = self._uniform[rows, step][:, None] * cumulative[:, -1:]
        return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)

    def _compact(self) -> bool:
        """Drop the rows that are done; False when none is left."""
        alive = (~self._done).nonzero()[:, 0].tolist()
        if len(alive) == len(self._rows):
            return True
        if not alive:
            return False
        order = compact_order(alive)
        self._cache.keep(order)
        index = torch.tensor(order, device=self._device)
        self._rules.keep(index)
        self._lengths, self._limit = self._lengths[index], self._limit[index]
        self._temperature, self._done = self._temperature[index], self._done[index]
        self._rows = [self._rows[row] for row in order]
        return True

    def _collect(self, no_speech: list[float]) -> list[Sampled]:
        eot = self._tokenizer.eot
        sampled = []
        for tokens, logprobs, urged, silence, limit in zip(
            self._tokens.tolist(),
            self._logprobs.tolist(),
            self._urged.tolist(),
            no_speech,
            self._limits,
            strict=True,
        ):
            finished = eot in tokens[:limit]
            length = tokens.index(eot) if finished else limit
            total = sum(logprobs[: length + finished])
            urged_at = urged.index(True) if True in urged[:length] else None
            sampled.append(
                Sampled(tuple(tokens[:length]), tuple(logprobs[:length]), total, silence, finished, urged_at)
            )
        return sampled

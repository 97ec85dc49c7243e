"""Autoregressive decoding of a batch of windows, each row with its own options.

One pass at one temperature a row; what to do with a poor result is `fallback`'s business. Rows that are done leave the
batch, so that the rest goes faster.

A row may have a draft of its text. Drafts are read with the prompts in one go, as in speculative decoding (Leviathan et
al. 2023, arXiv:2211.17192, section 2), and while all rows have chosen what their drafts say, the next tokens are chosen
from what was read then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention_cache import KeyValueCache, compact_order
from .devices import upload
from .model import WhisperModel
from .options import DEFAULT_SUPPRESSED
from .phases import phase
from .state import DecodingState, Prompt
from .tokenizer import WhisperTokenizer

STEPS_BETWEEN_SYNCS: Final = {"cpu": 1, "cuda": 8}
"""Decoder steps between looks at which rows are done: a look makes the host wait for a GPU."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What one row sampled."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    sum_logprob: float
    """Over ``tokens`` and, where it was reached, the end of text."""
    no_speech_prob: float
    finished: bool
    urges: tuple[int, ...]
    """Which of ``tokens`` the row sampled only because it was not let stop."""

    def until(self, stop: int) -> Sampled:
        """The same, had the row stopped before that token."""
        logprobs = self.logprobs[:stop]
        return Sampled(self.tokens[:stop], logprobs, sum(logprobs), self.no_speech_prob, True, ())

    def since(self, start: int) -> Sampled:
        """What came from that token on."""
        total = self.sum_logprob - sum(self.logprobs[:start])
        return Sampled(self.tokens[start:], self.logprobs[start:], total, self.no_speech_prob, self.finished, ())


class Draft:
    """The rows' prompts and drafts, as they were read in one go."""

    def __init__(self, tokens: Tensor, hidden: Tensor, eot: int) -> None:
        """Tokens (rows, length), where ``eot`` stands behind a row's own, and their hidden states."""
        self._tokens = F.pad(tokens, (0, 1), value=eot)
        self._hidden = hidden
        self._followed = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
        """Which rows have sampled what their drafts say, and nothing else."""

    def hidden_of(self, state: DecodingState) -> Tensor | None:
        """Hidden states (rows, state) of the newest tokens; None where one of a row that is not done was not read."""
        last = self._hidden.shape[1]
        rows = state.output
        self._followed[rows] &= self._tokens[rows, state.length.clamp(max=last)] == state.token
        if not bool((self._followed[rows] | state.done).all()):
            return None
        return self._hidden[rows, state.length.clamp(max=last - 1)]


class GreedyDecoder:
    """Decodes one batch: greedy rows at temperature 0, sampling rows above."""

    def __init__(
        self,
        model: WhisperModel,
        tokenizer: WhisperTokenizer,
        cache: KeyValueCache,
        prompts: Sequence[Prompt],
        state: DecodingState | None = None,
        suppress_tokens: Sequence[int] = DEFAULT_SUPPRESSED,
    ) -> None:
        """``cache`` holds the windows' cross-attention keys and values, and is used up; a prompt for each row.

        Args:
            state: memory for what changes from token to token; without it, it is allocated.
            suppress_tokens: never sampled, where ``state`` does not say it: see `WhisperTokenizer.suppressed`.
        """
        self._model, self._tokenizer, self._prompts = model, tokenizer, prompts
        self._cache = cache
        self._device = model.device
        context = model.dims.n_text_ctx
        self._last_place = context - 1
        self._width = cache.width
        lengths = [len(prompt.tokens) for prompt in prompts]
        # Like openai-whisper, the last token may fall just outside the context: nothing has to read it.
        self._limits = [min(p.max_tokens, context - len(p.tokens) + 1) for p in prompts]
        self._steps = max(self._limits)
        cache.reserve(min(context, max(lengths) + self._steps))
        self._longest = max(lengths)
        self._uneven = min(lengths) != self._longest
        self._samples = any(p.temperature > 0 for p in prompts)
        self._ahead: Draft | None = None
        self._interval = STEPS_BETWEEN_SYNCS.get(self._device.type, 1)
        self._state = state or DecodingState(tokenizer, len(prompts), self._steps, self._device, suppress_tokens)
        self._state.start(prompts, self._limits)

    def run(self) -> list[Sampled]:
        no_speech = self._start()
        for step in range(1, self._steps):
            if step % self._interval == 0 and not self._compact():
                break
            if not self._follow():
                self._advance()
            self._longest += 1
        return self._collect(no_speech)

    def _start(self) -> Tensor:
        """Read the prompts and choose the first tokens; return the windows' no-speech probabilities (windows,)."""
        prompts = self._prompts[:: self._width]
        given = [[*prompt.tokens, *draft] for prompt, draft in zip(prompts, self._drafts(prompts), strict=True)]
        padded = torch.full((len(prompts), max(map(len, given))), self._tokenizer.eot)
        for row, tokens in enumerate(given):
            padded[row, : len(tokens)] = torch.tensor(tokens)
        read = upload(padded, self._device)
        hidden = self._prefill(read)
        if read.shape[1] > self._longest:
            self._ahead = Draft(read, hidden, self._tokenizer.eot)
        rows = torch.arange(len(prompts), device=self._device)
        sot = upload(torch.tensor([prompt.sot_index for prompt in prompts]), self._device)
        at_sot = self._model.decoder.logits(hidden[rows, sot])
        last = hidden[rows, self._state.length[:: self._width] - 1].repeat_interleave(self._width, dim=0)
        self._choose(self._model.decoder.logits(last), last)
        return at_sot.softmax(dim=-1)[:, self._tokenizer.no_speech]

    def _drafts(self, prompts: Sequence[Prompt]) -> list[Sequence[int]]:
        """What is read of each window's draft: nothing, unless all rows are greedy."""
        if self._samples or self._width > 1:
            return [()] * len(prompts)
        return [prompt.draft[: limit - 1] for prompt, limit in zip(prompts, self._limits, strict=True)]

    def _follow(self) -> bool:
        """Choose the next tokens without reading the newest ones, where these were read as drafts."""
        hidden = self._ahead.hidden_of(self._state) if self._ahead else None
        if hidden is None:
            return False
        self._state.length.add_(1)
        self._state.step.add_(1)
        self._choose(self._model.decoder.step_logits(hidden), hidden)
        return True

    def _prefill(self, tokens: Tensor) -> Tensor:
        """Have the windows' prompts (windows, length) read; return their hidden states (windows, length, state)."""
        return self._model.decoder.prefill(tokens, self._cache)

    def _advance(self) -> None:
        self._iterate(self._span(), masked=self._uneven)

    def _span(self) -> int:
        """Over how many places the longest row looks back, its newest token among them."""
        return min(self._longest, self._last_place) + 1

    def _iterate(self, span: int, *, masked: bool) -> None:
        """Read the newest tokens and choose the next ones.

        It is made of tensor operations that neither wait for a GPU nor depend on what it computes, and changes nothing
        but the memory of cache and state: so a CUDA graph can repeat it.

        Args:
            masked: whether a row may be shorter than ``span``.
        """
        state = self._state
        # A row that is done but not yet dropped keeps writing in the last place of its memory.
        positions = state.length.clamp(max=self._last_place)
        hidden = self._model.decoder.step(state.token, positions, span, self._cache, masked=masked)
        state.length.add_(1)
        state.step.add_(1)
        self._choose(self._model.decoder.step_logits(hidden), hidden)

    @phase("choice of tokens")
    def _choose(self, logits: Tensor, hidden: Tensor) -> None:
        """Choose each row's next token and note it; rows that are done repeat the end of text."""
        state = self._state
        self._apply_rules(logits, hidden)
        tokens = logits.argmax(dim=-1)
        if self._samples:
            tokens = torch.where(state.temperature > 0, self._draw(logits), tokens)
        chosen = logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(dim=-1)
        tokens = tokens.masked_fill(state.done, self._tokenizer.eot)
        state.tokens[state.output, state.step] = tokens
        state.logprobs[state.output, state.step] = chosen.masked_fill(state.done, 0.0)
        state.urged[state.output, state.step] = state.rules.urged
        state.done.logical_or_((tokens == self._tokenizer.eot) | (state.step + 1 >= state.limit))
        state.token.copy_(tokens)
        state.rules.update(tokens)

    def _apply_rules(self, logits: Tensor, hidden: Tensor) -> None:
        """Set the logits of tokens that may not come to −∞, in place."""
        self._state.rules.forbid(logits)
        self._model.decoder.refine(logits, hidden)
        self._state.rules.prefer_times(logits)

    def _draw(self, logits: Tensor) -> Tensor:
        """Sample from the tempered distribution by inverting its cumulative sum."""
        temperature = self._state.temperature.clamp(min=1e-3)[:, None]
        cumulative = (logits / temperature).softmax(dim=-1).cumsum(dim=-1)
        uniform = self._state.uniform[self._state.output, self._state.step]
        target = uniform[:, None] * cumulative[:, -1:]
        return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)

    def _compact(self) -> bool:
        """Drop windows all of whose rows are done; False when none is left."""
        done = self._finished()
        alive = [window for window, is_done in enumerate(done) if not is_done]
        room = self._room(len(alive))
        if alive and room < len(done):
            order = compact_order(alive, room)
            # What the memory of a row that is done holds does not matter.
            self._cache.keep([*order[: len(alive)], *range(len(alive), room)])
            self._keep(order)
        return bool(alive)

    def _finished(self) -> list[bool]:
        """Of each window, whether all its rows are done."""
        finished: list[bool] = self._state.done.view(-1, self._width).all(dim=1).tolist()
        return finished

    def _keep(self, order: Sequence[int]) -> None:
        """Have window ``i`` be what window ``order[i]`` was, but for its keys and values."""
        rows = torch.tensor(order)[:, None] * self._width + torch.arange(self._width)
        self._state.keep(upload(rows.flatten(), self._device))

    def _room(self, windows: int) -> int:
        """How many windows are computed for so many that are not done."""
        return windows

    def _collect(self, no_speech: Tensor) -> list[Sampled]:
        eot = self._tokenizer.eot
        state, used = self._state, (slice(len(self._prompts)), slice(self._steps))
        sampled = []
        for tokens, logprobs, urged, silence, limit in zip(
            state.tokens[used].tolist(),
            state.logprobs[used].tolist(),
            state.urged[used].tolist(),
            no_speech.repeat_interleave(self._width).tolist(),
            self._limits,
            strict=True,
        ):
            finished = eot in tokens[:limit]
            length = tokens.index(eot) if finished else limit
            total = sum(logprobs[: length + finished])
            urges = tuple(place for place, was in enumerate(urged[:length]) if was)
            sampled.append(Sampled(tuple(tokens[:length]), tuple(logprobs[:length]), total, silence, finished, urges))
        return sampled

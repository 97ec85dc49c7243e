"""What decoding a batch needs to know from one token to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .devices import upload
from .options import DEFAULT_SUPPRESSED
from .row_tensors import RowTensors
from .rules import TokenRules
from .tokenizer import WhisperTokenizer


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
    draft: Sequence[int] = ()
    """What is likely to be sampled first: see `DecodingOptions.draft_tokens`."""
    patience: float | None = None
    length_penalty: float | None = None
    """For several texts of the window, from which one is chosen: see `DecodingOptions`."""


class DecodingState(RowTensors):
    """All of a batch that changes from token to token; updated in place, so that it may outlive the batch."""

    token: Tensor
    """The newest token."""
    length: Tensor
    """How many tokens the decoder has read."""
    limit: Tensor
    """How many tokens may be sampled."""
    temperature: Tensor
    done: Tensor
    output: Tensor
    """Which row of the outputs below the row writes: its place when the batch began."""

    def __init__(
        self,
        tokenizer: WhisperTokenizer,
        rows: int,
        steps: int,
        device: torch.device,
        suppress_tokens: Sequence[int] = DEFAULT_SUPPRESSED,
    ) -> None:
        """Room for ``rows`` rows that sample up to ``steps`` tokens."""
        names = ("token", "length", "limit", "output")
        flags = torch.zeros(rows, dtype=torch.bool, device=device)
        self.rules = TokenRules(tokenizer, flags, suppress_tokens=suppress_tokens)
        super().__init__(
            **{name: torch.zeros(rows, dtype=torch.long, device=device) for name in names},
            temperature=torch.zeros(rows, device=device),
            done=flags,
        )
        self._eot, self._rows = tokenizer.eot, rows
        self.step = torch.zeros(1, dtype=torch.long, device=device)
        """Which token of each text comes next, shape (1,)."""
        self.tokens = torch.zeros(rows, steps, dtype=torch.long, device=device)
        """What was sampled, (rows, steps)."""
        self.logprobs = torch.zeros(rows, steps, device=device)
        self.urged = torch.zeros(rows, steps, dtype=torch.bool, device=device)
        """Where the rules did not let a row stop: see `TokenRules.urged`."""
        self.uniform = torch.zeros(rows, steps, device=device)
        """Random numbers (rows, steps) from each row's own seed; made ahead, so that no step waits for the host."""

    def start(self, prompts: Sequence[Prompt], limits: Sequence[int]) -> None:
        """Begin a batch that has a row for each prompt; what memory there is for further rows counts as done."""
        self.resize(self._rows)
        self.done.fill_(True)
        torch.arange(self._rows, out=self.output)
        self.resize(len(prompts))
        self.done.zero_()
        device = self.step.device
        numbers = [(len(p.tokens), limit, p.reach, p.timestamps) for p, limit in zip(prompts, limits, strict=True)]
        lengths, most, reach, timestamps = upload(torch.tensor(numbers), device).unbind(dim=1)
        self.length.copy_(lengths)
        self.limit.copy_(most)
        self.temperature.copy_(upload(torch.tensor([p.temperature for p in prompts]), device))
        self.rules.start(timestamps.bool(), reach, timed=any(p.timestamps for p in prompts))
        self.step.zero_()
        self.tokens.fill_(self._eot)
        self.logprobs.zero_()
        self.urged.zero_()
        if any(p.temperature > 0 for p in prompts):
            steps = max(limits)
            drawn = [torch.rand(steps, generator=torch.Generator().manual_seed(p.seed)) for p in prompts]
            self.uniform[: len(prompts), :steps] = upload(torch.stack(drawn), device)

    def resize(self, rows: int) -> None:
        super().resize(rows)
        self.rules.resize(rows)

    def keep(self, order: Tensor) -> None:
        super().keep(order)
        self.rules.keep(order)

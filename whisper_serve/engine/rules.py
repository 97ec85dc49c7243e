"""Which tokens may come next, as tensor operations over the rows of a batch.

The rules are openai-whisper's (``SuppressBlank``, ``SuppressTokens``, ``ApplyTimestampRules``): texts do not start
blank, symbols that nobody speaks are left out, and timestamps come in pairs that do not go back in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from .options import DEFAULT_SUPPRESSED
from .row_tensors import RowTensors
from .tokenizer import WhisperTokenizer

MAX_INITIAL_TIMESTAMP_INDEX: Final = 50
"""Latest first timestamp, in steps of 20 ms: 1 s."""
NEGATIVE_INFINITY: Final = float("-inf")


class TokenRules(RowTensors):
    """Rules for the rows of one batch, with what each row has sampled so far as state, which is updated in place."""

    urged: Tensor
    """Rows (rows,) that would have stopped at the newest token, had ``reach`` let them."""
    _timestamps: Tensor
    _reach: Tensor
    _last: Tensor
    """Whether the last token, and the one before it, was a timestamp."""
    _before_last: Tensor
    _between: Tensor
    """Whether the last two tokens close one segment and open the next."""
    _latest: Tensor
    """The last timestamp so far, and the first that may come next, in steps of 20 ms."""
    _earliest: Tensor

    def __init__(
        self,
        tokenizer: WhisperTokenizer,
        timestamps: Tensor,
        reach: Tensor | None = None,
        suppress_tokens: Sequence[int] = DEFAULT_SUPPRESSED,
    ) -> None:
        """State of rows that have sampled nothing: see `start`. Without ``reach`` texts stop where they like."""
        device = timestamps.device
        self._tokenizer = tokenizer
        self._suppressed = torch.tensor(tokenizer.suppressed(suppress_tokens), device=device)
        self._blank = torch.tensor(tokenizer.blank, device=device)
        self._steps = torch.arange(1501, device=device)
        flags = ("urged", "_timestamps", "_last", "_before_last", "_between")
        numbers = ("_reach", "_latest", "_earliest")
        super().__init__(
            **{name: torch.zeros_like(timestamps) for name in flags},
            **{name: torch.zeros(len(timestamps), dtype=torch.long, device=device) for name in numbers},
        )
        self.start(timestamps, self._reach if reach is None else reach, timed=bool(timestamps.any()))

    def start(self, timestamps: Tensor, reach: Tensor, *, timed: bool) -> None:
        """Forget what the rows in use have sampled.

        Args:
            timestamps: bool (rows,), which rows predict times.
            reach: (rows,), in steps of 20 ms: a text whose last segment ends before may not stop there, as
                openai-whisper's may.
            timed: whether any row predicts times.
        """
        self._timestamps.copy_(timestamps)
        self._reach.copy_(reach)
        self.urged.zero_()
        # A text starts as if a timestamp had come before.
        self._last.zero_()
        self._before_last.fill_(True)
        self._between.zero_()
        self._latest.fill_(-1)
        self._earliest.zero_()
        self.timed = timed
        self._first = True

    def forbid(self, logits: Tensor) -> None:
        """Set the logits (rows, vocabulary) of forbidden tokens to −∞, in place; `prefer_times` comes behind."""
        if self._first:
            logits.index_fill_(1, self._blank, NEGATIVE_INFINITY)
        logits.index_fill_(1, self._suppressed, NEGATIVE_INFINITY)
        if self.timed:
            self._forbid_times(logits)

    def prefer_times(self, logits: Tensor) -> None:
        """Forbid text where timestamps together are likelier than the likeliest text."""
        if self.timed:
            begin = self._tokenizer.timestamp_begin
            text, times = logits[:, :begin], logits[:, begin:]
            likelier = self._timestamps & (times.logsumexp(dim=-1) > text.amax(dim=-1))
            text.masked_fill_(likelier[:, None], NEGATIVE_INFINITY)

    def _forbid_times(self, logits: Tensor) -> None:
        rows = self._timestamps
        begin = self._tokenizer.timestamp_begin
        logits[:, self._tokenizer.no_timestamps].masked_fill_(rows, NEGATIVE_INFINITY)
        text, times = logits[:, :begin], logits[:, begin:]
        # A pair is complete: text must follow. A text has just ended: it is the pair's second half or the end.
        after_pair = rows & self._last & self._before_last
        after_text_end = rows & self._last & ~self._before_last
        too_early = rows[:, None] & (self._steps[: times.shape[1]] < self._earliest[:, None])
        times.masked_fill_(after_pair[:, None] | too_early, NEGATIVE_INFINITY)
        logits[:, : self._tokenizer.eot].masked_fill_(after_text_end[:, None], NEGATIVE_INFINITY)
        end = logits[:, self._tokenizer.eot]
        others = torch.maximum(logits[:, : self._tokenizer.eot].amax(dim=-1), times.logsumexp(dim=-1))
        behind_segment = self._between | after_text_end
        self.urged.copy_(rows & behind_segment & (self._latest < self._reach) & (end > others))
        end.masked_fill_(self.urged, NEGATIVE_INFINITY)
        if self._first:
            text.masked_fill_(rows[:, None], NEGATIVE_INFINITY)
            times[:, MAX_INITIAL_TIMESTAMP_INDEX + 1 :].masked_fill_(rows[:, None], NEGATIVE_INFINITY)

    def update(self, tokens: Tensor) -> None:
        """Take in the tokens (rows,) that were sampled."""
        index = tokens - self._tokenizer.timestamp_begin
        is_time = index >= 0
        self._latest.copy_(torch.where(is_time, index, self._latest))
        self._between.copy_(is_time & self._last)
        if not self._first:
            self._before_last.copy_(self._last)
        self._last.copy_(is_time)
        # The second half of a pair may repeat the first; any other timestamp must lie after the last.
        repeat_allowed = is_time & ~self._before_last
        self._earliest.copy_(self._latest + (~repeat_allowed).long())
        self._first = False

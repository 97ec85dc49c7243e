"""Which tokens may come next, as tensor operations over the rows of a batch.

The rules are openai-whisper's (``SuppressBlank``, ``SuppressTokens``, ``ApplyTimestampRules``): texts do not start
blank, symbols that nobody speaks are left out, and timestamps come in pairs that do not go back in time.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from .tokenizer import WhisperTokenizer

MAX_INITIAL_TIMESTAMP_INDEX: Final = 50
"""Latest first timestamp, in steps of 20 ms: 1 s."""
NEGATIVE_INFINITY: Final = float("-inf")


class TokenRules:
    """Rules for the rows of one batch, with what each row has sampled so far as state."""

    def __init__(self, tokenizer: WhisperTokenizer, timestamps: Tensor, reach: Tensor | None = None) -> None:
        """State of rows that have sampled nothing.

        Args:
            timestamps: bool (rows,), which rows predict times.
            reach: (rows,), in steps of 20 ms: a text whose last segment ends before may not stop there. Without it
                texts stop where they like, as openai-whisper's do.
        """
        device = timestamps.device
        self._tokenizer = tokenizer
        self._suppressed = torch.tensor(tokenizer.suppressed, device=device)
        self._blank = torch.tensor(tokenizer.blank, device=device)
        self._steps = torch.arange(1501, device=device)
        self._timestamps = timestamps
        # Whether the last token, and the one before it, was a timestamp; a text starts as if one had come before.
        self._last = torch.zeros_like(timestamps)
        self._before_last = torch.ones_like(timestamps)
        # The last timestamp so far, and the first that may come next, in steps of 20 ms.
        self._latest = torch.full((len(timestamps),), -1, device=device)
        self._reach = reach if reach is not None else torch.zeros_like(self._latest)
        # Whether the last two tokens close one segment and open the next.
        self._between = torch.zeros_like(timestamps)
        self.urged = torch.zeros_like(timestamps)
        """Rows (rows,) that would have stopped at the newest token, had ``reach`` let them."""
        self._earliest = torch.zeros_like(self._latest)
        self._any = bool(timestamps.any())
        self._first = True

    def keep(self, order: Tensor) -> None:
        """Row ``i`` becomes what row ``order[i]`` was."""
        self._timestamps = self._timestamps[order]
        self._last, self._before_last = self._last[order], self._before_last[order]
        self._earliest, self._latest = self._earliest[order], self._latest[order]
        self._reach, self._between, self.urged = self._reach[order], self._between[order], self.urged[order]

    def forbid(self, logits: Tensor) -> None:
        """Set the logits (rows, vocabulary) of forbidden tokens to −∞, in place; `prefer_times` comes behind."""
        if self._first:
            logits.index_fill_(1, self._blank, NEGATIVE_INFINITY)
        logits.index_fill_(1, self._suppressed, NEGATIVE_INFINITY)
        if self._any:
            self._forbid_times(logits)

    def prefer_times(self, logits: Tensor) -> None:
        """Forbid text where timestamps together are likelier than the likeliest text."""
        if self._any:
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
        self.urged = (
            self._between & (self._latest < self._reach) & (end > logits[:, : self._tokenizer.eot].amax(dim=-1))
        )
        end.masked_fill_(self.urged, NEGATIVE_INFINITY)
        if self._first:
            text.masked_fill_(rows[:, None], NEGATIVE_INFINITY)
            times[:, MAX_INITIAL_TIMESTAMP_INDEX + 1 :].masked_fill_(rows[:, None], NEGATIVE_INFINITY)

    def update(self, tokens: Tensor) -> None:
        """Take in the tokens (rows,) that were sampled."""
        index = tokens - self._tokenizer.timestamp_begin
        is_time = index >= 0
        self._latest = torch.where(is_time, index, self._latest)
        self._between = is_time & self._last
        self._before_last = self._last if not self._first else torch.ones_like(self._last)
        self._last = is_time
        # The second half of a pair may repeat the first; any other timestamp must lie after the last.
        repeat_allowed = is_time & ~self._before_last
        self._earliest = self._latest + (~repeat_allowed).long()
        self._first = False

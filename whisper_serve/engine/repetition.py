"""Texts that go in circles: the same few tokens again and again, which is how Whisper fails most visibly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

REPEATS: Final = 4
"""Occurrences that make a cycle: a chorus is sung three times, and no long passage is said four times in 30 s."""
SHORTEST_CYCLE: Final = 32
"""Tokens of all occurrences together, some 8 s of speech: four times "no," are 8 and six times "Hallelujah," 30 tokens,
while a model in a circle hardly leaves it before the window's end or the limit of 224 tokens."""
SHORTEST_DOUBTED_CYCLE: Final = 12
"""The same in a text that the model itself doubts: what it says four times there nobody sang."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """Tokens ``start`` up to ``stop`` repeat with a period; the last occurrence may be cut short."""

    start: int
    period: int
    stop: int


def find_cycle(tokens: Sequence[int], shortest: int = SHORTEST_CYCLE) -> Cycle | None:
    """The first cycle of the shortest period, all of it; ``None`` where there is none of `shortest` tokens.

    In a cycle so many tokens in a row equal the one a period later. Every so many tokens one is tried, so that wherever
    a cycle lies one of its tokens is; what is around is looked at from there.
    """
    for period in range(1, len(tokens) // REPEATS + 1):
        in_a_row = max(REPEATS * period, shortest) - period
        last = len(tokens) - period
        for probe in range(in_a_row - 1, last, in_a_row):
            start = stop = probe
            while start > 0 and tokens[start - 1] == tokens[start - 1 + period]:
                start -= 1
            while stop < last and tokens[stop] == tokens[stop + period]:
                stop += 1
            if stop - start >= in_a_row:
                return Cycle(start, period, stop + period)
    return None


def repeated_places(tokens: Sequence[int], *, finished: bool, shortest: int = SHORTEST_CYCLE) -> list[int]:
    """Places of the tokens to leave out so that of each cycle the first occurrence remains.

    What follows a cycle follows that occurrence as it followed the last one, since only whole occurrences go. At the
    end a part of one goes too, if the token limit cut it short or the text is nothing but the cycle.

    Args:
        finished: whether the text came to its end before the token limit.
        shortest: tokens that a cycle has at least.
    """
    kept = list(range(len(tokens)))
    while cycle := find_cycle([tokens[place] for place in kept], shortest):
        in_part = cycle.stop == len(kept) and (not finished or cycle.start == 0)
        rest = 0 if in_part else (cycle.stop - cycle.start) % cycle.period
        del kept[cycle.start + cycle.period + rest : cycle.stop]
    return sorted(set(range(len(tokens))).difference(kept))

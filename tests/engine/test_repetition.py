from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import TINY
from whisper_serve.engine.repetition import (
    REPEATS,
    SHORTEST_CYCLE,
    SHORTEST_DOUBTED_CYCLE,
    find_cycle,
    repeated_places,
)
from whisper_serve.engine.tokenizer import WhisperTokenizer

TOKENIZER = WhisperTokenizer(TINY)

blocks = st.lists(st.integers(0, 4), min_size=1, max_size=9)
texts = st.lists(st.tuples(blocks, st.integers(1, 9)), max_size=6).map(
    lambda parts: [token for block, times in parts for token in block * times]
)
"""Texts in which much is repeated, sometimes often enough."""


def has_cycle(tokens: Sequence[int], shortest: int = SHORTEST_CYCLE) -> bool:
    """What `find_cycle` looks for, as it is defined: some stretch is one block, often and long enough."""
    for period in range(1, len(tokens) // REPEATS + 1):
        length = max(REPEATS * period, shortest)
        for start in range(len(tokens) - length + 1):
            stretch = tokens[start : start + length]
            if stretch[period:] == stretch[:-period]:
                return True
    return False


def once(tokens: Sequence[int], *, finished: bool = True) -> list[int]:
    repeated = set(repeated_places(tokens, finished=finished))
    return [token for place, token in enumerate(tokens) if place not in repeated]


@given(texts, st.sampled_from([SHORTEST_CYCLE, SHORTEST_DOUBTED_CYCLE]))
def test_a_cycle_is_found_exactly_where_there_is_one(tokens: list[int], shortest: int) -> None:
    cycle = find_cycle(tokens, shortest)
    assert (cycle is not None) is has_cycle(tokens, shortest)
    if cycle:
        assert cycle.stop - cycle.start >= max(REPEATS * cycle.period, shortest)
        assert tokens[cycle.start : cycle.stop - cycle.period] == tokens[cycle.start + cycle.period : cycle.stop]


@given(texts.filter(lambda tokens: not has_cycle(tokens)), st.booleans())
def test_a_text_without_cycle_is_left_as_it_is(tokens: list[int], finished: bool) -> None:
    assert once(tokens, finished=finished) == tokens


@given(st.lists(st.integers(10, 99), unique=True, max_size=60), blocks, st.integers(0, 20))
def test_a_cycle_at_the_end_is_found_and_cut(before: list[int], block: list[int], more: int) -> None:
    times = max(REPEATS, -(-SHORTEST_CYCLE // len(block))) + more
    tokens = before + block * times
    assert find_cycle(tokens) is not None
    kept = once(tokens)
    # What the block itself repeats goes too, so that of one token over and over a single one remains.
    assert kept[: len(before)] == before
    assert set(kept[len(before) :]) == set(block)
    assert len(kept) <= len(before) + len(block)


@given(texts, st.booleans())
def test_nothing_goes_in_circles_afterwards(tokens: list[int], finished: bool) -> None:
    kept = once(tokens, finished=finished)
    assert not has_cycle(kept)
    assert set(kept) == set(tokens)


@pytest.mark.parametrize(
    "text",
    [
        " No, no, no, no.",
        " Hallelujah, Hallelujah, Hallelujah, Hallelujah, Hallelujah, Hallelujah!",
        " We all live in a yellow submarine, a yellow submarine, a yellow submarine." * 3,
        " Ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha.",
        " Let it be, let it be, let it be, let it be, whisper words of wisdom, let it be." * 2,
    ],
)
def test_what_people_repeat_survives(text: str) -> None:
    assert find_cycle(TOKENIZER.encode(text)) is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" Good night." + " Thank you." * 15, " Good night. Thank you."),
        (" I said, I'm going to go to the shop." * 5, " I said, I'm going to go to the shop."),
        (" Well, I know." + " I know." * 20 + " And then we left.", " Well, I know. And then we left."),
        (" Go." + " la" * 40 + " Stop." + " Tra la." * 30, " Go. la Stop. Tra la."),
        ("ありがとう" * 40, "ありがとう"),
    ],
)
def test_a_cycle_leaves_its_first_occurrence_and_what_is_around_it(text: str, kept: str) -> None:
    assert TOKENIZER.decode(once(TOKENIZER.encode(text))) == kept


@pytest.mark.parametrize(
    ("before", "finished", "kept"),
    [
        ("", False, " Thank you."),
        ("", True, " Thank you."),
        (" Good night!", False, " Good night! Thank you."),
        (" Good night!", True, " Good night! Thank you. Thank you"),
    ],
)
def test_a_part_of_an_occurrence_at_the_end_goes_where_it_is_sure_to_be_one(
    before: str, finished: bool, kept: str
) -> None:
    tokens = TOKENIZER.encode(before + " Thank you." * 15 + " Thank you")
    assert TOKENIZER.decode(once(tokens, finished=finished)) == kept

"""The audio's keys and values as integers, against float32."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from whisper_serve.engine.attention_cache import PlainCrossMemory
from whisper_serve.engine.compact_memory import LONGEST_STEP, CompactCrossMemory
from whisper_serve.engine.layers import split_heads

ROWS, POSITIONS, HEADS, STATE = 5, 300, 4, 64
TOLERANCE = 0.03


class Compared(NamedTuple):
    """The same keys and values twice."""

    compact: CompactCrossMemory
    plain: PlainCrossMemory


def difference(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


@pytest.fixture
def compared() -> Compared:
    both = torch.randn(ROWS, POSITIONS, 2 * STATE, generator=torch.Generator().manual_seed(0))
    keys, values = (split_heads(one, HEADS).contiguous() for one in both.chunk(2, dim=-1))
    return Compared(CompactCrossMemory(both, HEADS), PlainCrossMemory(keys, values))


@pytest.mark.parametrize("length", [1, LONGEST_STEP, LONGEST_STEP + 1])
def test_attention_is_nearly_that_of_float32(compared: Compared, length: int) -> None:
    query = 3 * torch.randn(ROWS, HEADS, length, STATE // HEADS)
    ours, exact = (memory.attend(query) for memory in (compared.compact, compared.plain))
    assert ours.shape == exact.shape
    assert difference(ours, exact) < TOLERANCE


def test_rows_that_are_kept_keep_their_audio(compared: Compared) -> None:
    query = torch.randn(3, HEADS, 1, STATE // HEADS)
    for memory in (compared.compact, compared.plain):
        memory.keep([4, 1, 2])
        memory.keep([0, 2, 1])
    ours, exact = (memory.attend(query) for memory in (compared.compact, compared.plain))
    assert difference(ours, exact) < TOLERANCE


def test_what_is_shared_changes_neither(compared: Compared) -> None:
    query = torch.randn(ROWS, HEADS, 1, STATE // HEADS)
    whole = compared.compact.attend(query)
    shared = compared.compact.shared([3, 0])
    compared.compact.keep([4])
    assert torch.equal(shared.attend(query[[3, 0]]), whole[[3, 0]])
    shared.keep([1])
    assert torch.equal(shared.attend(query[[0]]), whole[[0]])
    assert torch.equal(compared.compact.attend(query[[4]]), whole[[4]])


def test_threads_share_the_work(compared: Compared) -> None:
    query = torch.randn(ROWS, HEADS, 1, STATE // HEADS)
    threads = torch.get_num_threads()
    found = []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            found.append(compared.compact.attend(query))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_keys_of_heads_come_back(compared: Compared) -> None:
    for memory in (compared.compact, compared.plain):
        memory.keep([2, 1])
    ours, exact = (memory.keys_of([3, 1]) for memory in (compared.compact, compared.plain))
    assert ours.shape == exact.shape
    assert difference(ours, exact) < TOLERANCE

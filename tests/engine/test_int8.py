"""Eight-bit integers against float32."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from whisper_serve.engine import DecodingOptions, Engine, int8
from whisper_serve.engine.attention_cache import PlainCrossMemory
from whisper_serve.engine.engine import Audio
from whisper_serve.engine.model import split_heads
from whisper_serve.engine.weights import Weights

pytestmark = pytest.mark.skipif(not int8.available(), reason="this CPU has no fast integer kernels")

ROWS, POSITIONS, HEADS, STATE = 5, 300, 4, 64


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def difference(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


def test_a_linear_layer_is_nearly_as_exact_whatever_the_sizes_of_its_rows() -> None:
    weight, bias = torch.randn(96, STATE), torch.randn(96)
    x = torch.randn(3, 7, STATE) * 10.0 ** torch.arange(-3.0, 4.0)[:, None]
    found, exact = int8.Int8Linear(weight, bias)(x), F.linear(x, weight, bias)
    for row in range(7):
        assert difference(found[:, row], exact[:, row]) < 0.02
    assert torch.equal(int8.Int8Linear(weight, None)(torch.zeros(1, STATE)), torch.zeros(1, 96))


def test_the_largest_sums_do_not_overflow() -> None:
    layer = int8.Int8Linear(torch.ones(8, 4096), None)
    assert layer(torch.ones(1, 4096))[0].tolist() == pytest.approx([4096.0] * 8, rel=0.01)


@pytest.fixture
def memories() -> tuple[int8.Int8CrossMemory, PlainCrossMemory]:
    both = torch.randn(ROWS, POSITIONS, 2 * STATE)
    keys, values = (split_heads(one, HEADS).contiguous() for one in both.chunk(2, dim=-1))
    return int8.Int8CrossMemory(both, HEADS), PlainCrossMemory(keys, values)


@pytest.mark.parametrize("length", [1, int8.LONGEST_STEP, int8.LONGEST_STEP + 1])
def test_attention_is_nearly_that_of_float32(
    memories: tuple[int8.Int8CrossMemory, PlainCrossMemory], length: int
) -> None:
    query = 3 * torch.randn(ROWS, HEADS, length, STATE // HEADS)
    ours, exact = (memory.attend(query) for memory in memories)
    assert ours.shape == exact.shape
    assert difference(ours, exact) < 0.03


def test_rows_that_are_kept_keep_their_audio(memories: tuple[int8.Int8CrossMemory, PlainCrossMemory]) -> None:
    query = torch.randn(3, HEADS, 1, STATE // HEADS)
    for memory in memories:
        memory.keep([4, 1, 2])
        memory.keep([0, 2, 1])
    ours, exact = (memory.attend(query) for memory in memories)
    assert difference(ours, exact) < 0.03


def test_threads_share_the_work(memories: tuple[int8.Int8CrossMemory, PlainCrossMemory]) -> None:
    query = torch.randn(ROWS, HEADS, 1, STATE // HEADS)
    threads = torch.get_num_threads()
    found = []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            found.append(memories[0].attend(query))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_model_says_nearly_as_likely_texts(
    tiny_weights: Weights, tiny_engine: Engine, noises: Sequence[Audio]
) -> None:
    greedy = DecodingOptions(language="en", temperatures=(0.0,))
    quantized = Engine.load(tiny_weights, "cpu", "int8")
    for ours, exact in zip(quantized.decode(noises, greedy), tiny_engine.decode(noises, greedy), strict=True):
        assert ours.avg_logprob == pytest.approx(exact.avg_logprob, abs=0.3)
        assert ours.no_speech_prob == pytest.approx(exact.no_speech_prob, abs=0.02)

"""The engine on a CUDA device: the same tokens as on the CPU, with graphs and without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from tests.engine.test_engine import MIXED
from whisper_serve.engine import DecodingOptions, Engine
from whisper_serve.engine.engine import Audio
from whisper_serve.engine.graphs import CudaGraphs, Graph
from whisper_serve.engine.weights import Weights

pytestmark = pytest.mark.gpu

GREEDY = DecodingOptions(language="en", temperatures=(0.0,))


def test_float32_on_a_gpu_decodes_to_the_cpus_tokens(
    tiny_weights: Weights, tiny_engine: Engine, noises: Sequence[Audio]
) -> None:
    gpu = Engine.load(tiny_weights, "cuda", "float32")
    expected = [result.tokens for result in tiny_engine.decode(noises, GREEDY)]
    assert [result.tokens for result in gpu.decode(noises, GREEDY)] == expected


@pytest.mark.parametrize("dtype", ["auto", "float16"])
def test_half_precision_says_nearly_as_likely_texts(
    tiny_weights: Weights, tiny_engine: Engine, noises: Sequence[Audio], dtype: str
) -> None:
    gpu = Engine.load(tiny_weights, "cuda", dtype)
    for ours, exact in zip(gpu.decode(noises, GREEDY), tiny_engine.decode(noises, GREEDY), strict=True):
        assert ours.avg_logprob == pytest.approx(exact.avg_logprob, abs=0.3)
        assert ours.no_speech_prob == pytest.approx(exact.no_speech_prob, abs=0.01)


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """The graphs that were captured."""
    graphs: list[Graph] = []
    capture = CudaGraphs.capture

    def noted(backend: CudaGraphs, step: Callable[[], None]) -> Graph:
        graphs.append(capture(backend, step))
        return graphs[-1]

    monkeypatch.setattr(CudaGraphs, "capture", noted)
    return graphs


@pytest.mark.parametrize("batch_size", [3, 8])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_graphs_decode_to_the_same(
    tiny_weights: Weights, noises: Sequence[Audio], captured: list[Graph], batch_size: int, temperature: float
) -> None:
    options = [replace(one, temperatures=(temperature,)) for one in MIXED]
    eager = Engine.load(tiny_weights, "cuda", "float32", batch_size=batch_size, graphs=False)
    expected = eager.decode(noises, options)
    assert not captured
    engine = Engine.load(tiny_weights, "cuda", "float32", batch_size=batch_size)
    captures = []
    for _ in range(2):
        found = engine.decode(noises, options)
        captures.append(len(captured))
        assert [result.tokens for result in found] == [result.tokens for result in expected]
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.token_logprobs == pytest.approx(theirs.token_logprobs, abs=1e-3)
    assert captures[0] == captures[1] > 0, "the second time all graphs are there"


@pytest.mark.parametrize("beam_size", [2, 5])
def test_graphs_search_for_the_same(
    tiny_weights: Weights, noises: Sequence[Audio], captured: list[Graph], beam_size: int
) -> None:
    options = [replace(one, temperatures=(0.0,), beam_size=beam_size) for one in MIXED]
    expected = Engine.load(tiny_weights, "cuda", "float32", graphs=False).decode(noises, options)
    assert not captured
    engine = Engine.load(tiny_weights, "cuda", "float32")
    captures = []
    for _ in range(2):
        assert [result.tokens for result in engine.decode(noises, options)] == [result.tokens for result in expected]
        captures.append(len(captured))
    assert captures[0] == captures[1] > 0, "the second time all graphs are there"


def test_threads_share_graphs(tiny_weights: Weights, noises: Sequence[Audio], captured: list[Graph]) -> None:
    engine = Engine.load(tiny_weights, "cuda", "float32")
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: engine.decode(noises, MIXED), range(4)))
    expected = Engine.load(tiny_weights, "cuda", "float32", graphs=False).decode(noises, MIXED)
    assert [[result.tokens for result in run] for run in runs] == [[result.tokens for result in expected]] * 4
    assert captured


def test_memory_that_graphs_used_can_be_had_again(tiny_weights: Weights, noises: Sequence[Audio]) -> None:
    engine = Engine.load(tiny_weights, "cuda", "float32")
    expected = [result.tokens for result in engine.decode(noises, MIXED)]
    assert engine._workspaces is not None
    for _ in range(2):
        engine._workspaces.release()
        torch.cuda.empty_cache()
        assert [result.tokens for result in engine.decode(noises, MIXED)] == expected

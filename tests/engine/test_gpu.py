"""The engine on a CUDA device: the same tokens as on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from whisper_serve.engine import DecodingOptions, Engine
from whisper_serve.engine.engine import Audio
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

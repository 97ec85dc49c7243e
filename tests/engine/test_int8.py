"""Eight-bit linear layers against float32."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whisper_serve.engine import DecodingOptions, Engine, int8
from whisper_serve.engine.engine import Audio
from whisper_serve.engine.model import replace_linears
from whisper_serve.engine.weights import Weights
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.evaluation.scores import ErrorRate, error_rate
from whisper_serve.speech import load_audio

pytestmark = pytest.mark.skipif(not int8.available(), reason="this CPU has no fast integer kernels")

STATE = 64


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
        assert difference(found[:, row], exact[:, row]) < 0.013
    assert torch.equal(int8.Int8Linear(weight, None)(torch.zeros(1, STATE)), torch.zeros(1, 96))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_largest_sums_do_not_overflow(sign: float) -> None:
    first = torch.linspace(0, 1, 8)[:, None].expand(8, 2048)
    weight = sign * torch.stack([first, 1 - first], dim=2).flatten(1)  # Neighbours that sum to 1, the most there is.
    found = int8.Int8Linear(weight, None)(torch.ones(1, 4096))
    assert found[0].tolist() == pytest.approx([2048 * sign] * 8, rel=0.01)


def test_neighbours_of_unlike_sign_do_not_add_up() -> None:
    weight = torch.tensor([[1.0, 2.0, -3.0, -4.0, 5.0, -6.0, 0.5]])
    assert int8.pair_sums(weight).tolist() == [[3.0, 7.0, 6.0, 0.5]]


def test_all_layers_are_replaced_but_those_left_out() -> None:
    inner = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))
    model = nn.ModuleDict({"norm": nn.LayerNorm(8), "first": nn.Linear(8, 8), "rest": inner})
    replace_linears(model, int8.Int8Linear, leave={"rest.2"})
    replaced = {name for name, one in model.named_modules() if isinstance(one, int8.Int8Linear)}
    assert replaced == {"first", "rest.0"}


@pytest.mark.slow
@pytest.mark.weights
def test_the_default_makes_as_few_errors_as_float32(
    base_weights: Weights, base_engine: Engine, clips: dict[str, Sample]
) -> None:
    spoken = [clip for _, clip in sorted(clips.items()) if clip.transcript]
    windows = [load_audio(clip.path)[:480_000] for clip in spoken]
    options = [DecodingOptions(language=clip.language) for clip in spoken]

    def errors(engine: Engine) -> ErrorRate:
        total = ErrorRate(0, 0)
        for clip, result in zip(spoken, engine.transcribe(windows, options), strict=True):
            text = "".join(segment.text for segment in result.segments)
            total += error_rate(clip.transcript, text, clip.language)
        return total

    ours, exact = errors(Engine.load(base_weights, "cpu", "auto")), errors(base_engine)
    assert exact.length > 100
    assert ours.errors <= exact.errors + 1


@pytest.mark.slow
def test_a_model_says_nearly_as_likely_texts(
    tiny_weights: Weights, tiny_engine: Engine, noises: Sequence[Audio]
) -> None:
    # Longer texts of a random model part ways, and are less alike with every token.
    greedy = DecodingOptions(language="en", temperatures=(0.0,), max_tokens=8)
    quantized = Engine.load(tiny_weights, "cpu", "int8")
    for ours, exact in zip(quantized.decode(noises, greedy), tiny_engine.decode(noises, greedy), strict=True):
        assert ours.avg_logprob == pytest.approx(exact.avg_logprob, abs=0.3)
        assert ours.no_speech_prob == pytest.approx(exact.no_speech_prob, abs=0.02)

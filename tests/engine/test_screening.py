"""The screened output projection: what could be chosen is exact."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F

from whisper_serve.engine import DecodingOptions, Engine, int8
from whisper_serve.engine.engine import Audio
from whisper_serve.engine.layers import CrossAttention
from whisper_serve.engine.screening import MARGIN, ScreenedVocabulary
from whisper_serve.engine.weights import Weights
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.speech import load_audio

pytestmark = pytest.mark.skipif(not int8.available(), reason="this CPU has no fast integer kernels")

GREEDY = DecodingOptions(temperatures=(0.0,))


def test_large_logits_and_those_of_times_are_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(5000, 64, generator=generator)
    hidden = torch.randn(7, 64, generator=generator)
    screen, exact = ScreenedVocabulary(weight, 4000), F.linear(hidden, weight)
    logits = screen(hidden)
    assert torch.allclose(logits[:, 4000:], exact[:, 4000:], atol=1e-4)
    assert (logits - exact).abs().max() > 1e-3, "text is rough at first"
    logits[:, 17] = exact[:, 17] = float("-inf")
    screen.refine(logits, hidden)
    large = exact[:, :4000] > exact[:, :4000].amax(dim=-1, keepdim=True) - MARGIN / 2
    assert torch.allclose(logits[:, :4000][large], exact[:, :4000][large], atol=1e-4)
    assert torch.equal(logits.argmax(dim=-1), exact.argmax(dim=-1))
    assert torch.isneginf(logits[:, 17]).all()


def test_rows_without_any_text_left_stay_so() -> None:
    screen = ScreenedVocabulary(torch.randn(50, 8), 40)
    logits = torch.full((2, 50), float("-inf"))
    screen.refine(logits, torch.randn(2, 8))
    assert torch.isneginf(logits).all()


def test_the_fast_decoder_decodes_to_the_tokens_of_plain_float32(
    tiny_weights: Weights, tiny_engine: Engine, noises: Sequence[Audio]
) -> None:
    fast = Engine.load(tiny_weights, "cpu", "float32")
    fast.model.decoder.speed_up(int8=False)
    for ours, plain in zip(fast.decode(noises, GREEDY), tiny_engine.decode(noises, GREEDY), strict=True):
        assert (ours.tokens, ours.language) == (plain.tokens, plain.language)


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize(("compact", "tolerance"), [(False, 1e-4), (True, 2e-3)], ids=["plain", "compact"])
def test_the_fast_decoder_hears_real_speech_as_plain_float32_does(
    base_weights: Weights, base_engine: Engine, clips: dict[str, Sample], compact: bool, tolerance: float
) -> None:
    """``compact``: with the memory of the audio in integers too."""
    windows = [load_audio(clip.path)[:480_000] for _, clip in sorted(clips.items())]
    fast = Engine.load(base_weights, "cpu", "float32")
    fast.model.decoder.speed_up(int8=False)
    for module in fast.model.modules():
        if isinstance(module, CrossAttention):
            module.compact = compact
    for ours, plain in zip(fast.decode(windows, GREEDY), base_engine.decode(windows, GREEDY), strict=True):
        assert (ours.tokens, ours.language) == (plain.tokens, plain.language)
        assert ours.avg_logprob == pytest.approx(plain.avg_logprob, abs=0.01)
        assert ours.no_speech_prob == pytest.approx(plain.no_speech_prob, abs=tolerance)

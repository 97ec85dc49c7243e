"""The padding of short windows, thinned: exact where the padding is all alike, and close on real speech."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whisper_serve.engine import Engine
from whisper_serve.engine.layers import SelfAttention
from whisper_serve.engine.thinning import STRIDE, WHOLE, thinned
from whisper_serve.engine.weights import Weights
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.speech import load_audio


@given(st.integers(0, 1500))
def test_every_place_is_computed_or_stands_for_others(audio: int) -> None:
    thinning = thinned(audio, 1500)
    if thinning is None:
        assert audio + 2 * WHOLE > 1500 - STRIDE
        return
    assert int(thinning.counts.sum()) == 1500
    assert thinning.places[: audio + WHOLE].tolist() == list(range(audio + WHOLE))
    # A place stands for its neighbours.
    which = torch.arange(len(thinning.places)).repeat_interleave(thinning.counts)
    assert int((thinning.places[which] - torch.arange(1500)).abs().max()) <= STRIDE // 2
    assert torch.equal(thinning.expand(thinning.places[None, :, None]), thinning.places[which][None, :, None])


def test_a_place_has_the_attention_of_all_that_it_stands_for() -> None:
    """With padding of which all of a group are the same, nothing is lost."""
    torch.manual_seed(0)
    attention = SelfAttention(16, 2).requires_grad_(False)
    thinning = thinned(1000, 1500)
    assert thinning is not None
    x = torch.randn(2, len(thinning.places), 16)
    torch.testing.assert_close(thinning.expand(attention(x, thinning.bias)), attention(thinning.expand(x)))


@pytest.mark.weights
def test_features_of_the_audio_stay_close(base_weights: Weights, clips: dict[str, Sample]) -> None:
    engine = Engine.load(base_weights, "cpu", "float32")
    window = load_audio(clips["en-jfk.mp3"].path)
    plain = engine.encode([window])
    engine.model.encoder.thins_padding = True
    close = engine.encode([window])
    audio = len(window) // 320
    error = (close - plain)[:, :audio].norm() / plain[:, :audio].norm()
    assert 0 < error < 0.08

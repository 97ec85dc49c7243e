from __future__ import annotations

import pytest
import torch
import whisper.model
from whisper.model import AudioEncoder, TextDecoder

from whisper_serve.engine.weights import OFFICIAL_DIMENSIONS, IncompatibleWeights, QuantizedWeights, Weights
from whisper_serve.engine.weights.layout import complete, expected_shapes, sinusoids


@pytest.mark.parametrize("name", OFFICIAL_DIMENSIONS)
def test_names_and_shapes_are_those_of_openai_whisper(name: str) -> None:
    d = OFFICIAL_DIMENSIONS[name]
    with torch.device("meta"):  # shapes without memory; Whisper as a whole cannot be made there
        encoder = AudioEncoder(d.n_mels, d.n_audio_ctx, d.n_audio_state, d.n_audio_head, d.n_audio_layer)
        decoder = TextDecoder(d.n_vocab, d.n_text_ctx, d.n_text_state, d.n_text_head, d.n_text_layer)
    theirs = {f"encoder.{key}": tuple(value.shape) for key, value in encoder.state_dict().items()}
    theirs |= {f"decoder.{key}": tuple(value.shape) for key, value in decoder.state_dict().items()}
    assert expected_shapes(d) == theirs


@pytest.mark.parametrize(("length", "channels"), [(1500, 512), (12, 16)])
def test_sinusoids_equal_those_of_openai_whisper(length: int, channels: int) -> None:
    torch.testing.assert_close(
        sinusoids(length, channels), whisper.model.sinusoids(length, channels), rtol=0, atol=1e-6
    )


def test_absent_encoder_positions_are_computed(tiny: Weights) -> None:
    tensors = dict(tiny.tensors)
    del tensors["encoder.positional_embedding"]
    again = complete("here", "x", tiny.dimensions, tensors)
    torch.testing.assert_close(again.tensors["encoder.positional_embedding"], sinusoids(12, 16), rtol=0, atol=0)


def test_stored_encoder_positions_are_kept(tiny: Weights) -> None:
    own = torch.ones(12, 16)
    tensors = {**tiny.tensors, "encoder.positional_embedding": own}
    assert complete("here", "x", tiny.dimensions, tensors).tensors["encoder.positional_embedding"] is own


@pytest.mark.parametrize(
    ("tensor", "error", "message"),
    [
        (torch.zeros(16, 17), IncompatibleWeights, r"expected shape \(16, 16\), found \(16, 17\)"),
        (torch.zeros(16, 16, dtype=torch.float64), IncompatibleWeights, "found torch.float64"),
        (torch.zeros(16, 16, dtype=torch.int8), QuantizedWeights, r"quantised \(torch.int8\).*convert"),
    ],
)
def test_a_wrong_tensor_is_named(tiny: Weights, tensor: torch.Tensor, error: type[Exception], message: str) -> None:
    name = "decoder.blocks.1.cross_attn.key.weight"
    with pytest.raises(error, match=f"^here: {name}.*{message}"):
        complete("here", "x", tiny.dimensions, {**tiny.tensors, name: tensor})


def test_missing_and_extra_names_are_listed(tiny: Weights) -> None:
    tensors = dict(tiny.tensors)
    del tensors["decoder.ln.bias"]
    with pytest.raises(IncompatibleWeights, match=r"here: missing decoder\.ln\.bias"):
        complete("here", "x", tiny.dimensions, tensors)
    with pytest.raises(IncompatibleWeights, match=r"missing decoder.*more"):
        complete("here", "x", tiny.dimensions, {k: v for k, v in tensors.items() if "blocks" not in k})
    with pytest.raises(IncompatibleWeights, match=r"here: lora\.a not expected"):
        complete("here", "x", tiny.dimensions, {**tiny.tensors, "lora.a": torch.zeros(1)})


@pytest.mark.parametrize("head", [(3, 0), (0, 2), (-1, 0)])
def test_alignment_heads_lie_in_the_decoder(tiny: Weights, head: tuple[int, int]) -> None:
    with pytest.raises(IncompatibleWeights, match="3 layers of 2 heads"):
        complete("here", "x", tiny.dimensions, tiny.tensors, (head,))

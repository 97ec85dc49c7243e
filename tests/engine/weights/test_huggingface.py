"""transformers writes the folders, and its forward pass is compared with openai-whisper's on our mapping."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperConfig, WhisperForConditionalGeneration
from whisper.model import Whisper

from whisper_serve.engine.weights import (
    Dimensions,
    IncompatibleWeights,
    QuantizedWeights,
    UnknownLayout,
    Weights,
    load_weights,
)
from whisper_serve.engine.weights.layout import sinusoids

DIMENSIONS = Dimensions(80, 25, 32, 4, 2, 100, 16, 32, 2, 3)


@pytest.fixture(scope="module")
def theirs() -> WhisperForConditionalGeneration:
    """A random model whose encoder and decoder differ in layers and heads; no two tensors are equal."""
    config = WhisperConfig(
        vocab_size=100,
        num_mel_bins=80,
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_layers=3,
        decoder_attention_heads=2,
        decoder_ffn_dim=128,
        max_source_positions=25,
        max_target_positions=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    torch.manual_seed(7)
    model: WhisperForConditionalGeneration = WhisperForConditionalGeneration(config)
    model.train(False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "model.encoder.embed_positions.weight":
                parameter.normal_(0.0, 0.2)
    return model


@pytest.fixture
def folder(theirs: WhisperForConditionalGeneration, tmp_path: Path) -> Path:
    theirs.save_pretrained(tmp_path / "whisper-mini")
    return tmp_path / "whisper-mini"


def _edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _edit_tensors(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_the_forward_pass_is_that_of_transformers(
    theirs: WhisperForConditionalGeneration, folder: Path, build_whisper: Callable[[Weights], Whisper]
) -> None:
    weights = load_weights(folder)
    ours = build_whisper(weights)
    mel = torch.randn(2, 80, 50, generator=torch.Generator().manual_seed(1))
    tokens = torch.tensor([[1, 5, 9, 99], [1, 0, 42, 3]])
    with torch.inference_mode():
        expected = theirs(input_features=mel, decoder_input_ids=tokens)
        features = ours.embed_audio(mel)
        logits = ours.logits(tokens, features)
    assert (weights.name, weights.dimensions) == ("whisper-mini", DIMENSIONS)
    assert logits.std() > 0.1
    torch.testing.assert_close(features, expected.encoder_last_hidden_state, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits, expected.logits, rtol=1e-4, atol=1e-4)


def test_tensors_are_theirs_bit_by_bit(theirs: WhisperForConditionalGeneration, folder: Path) -> None:
    state = theirs.model.state_dict()
    tensors = load_weights(folder).tensors
    for ours, name in {
        "encoder.conv2.weight": "encoder.conv2.weight",
        "encoder.positional_embedding": "encoder.embed_positions.weight",
        "encoder.blocks.1.attn.query.bias": "encoder.layers.1.self_attn.q_proj.bias",
        "encoder.blocks.0.attn_ln.weight": "encoder.layers.0.self_attn_layer_norm.weight",
        "encoder.blocks.0.mlp_ln.bias": "encoder.layers.0.final_layer_norm.bias",
        "encoder.ln_post.weight": "encoder.layer_norm.weight",
        "decoder.token_embedding.weight": "decoder.embed_tokens.weight",
        "decoder.positional_embedding": "decoder.embed_positions.weight",
        "decoder.blocks.2.cross_attn.key.weight": "decoder.layers.2.encoder_attn.k_proj.weight",
        "decoder.blocks.2.cross_attn_ln.bias": "decoder.layers.2.encoder_attn_layer_norm.bias",
        "decoder.blocks.2.mlp.2.weight": "decoder.layers.2.fc2.weight",
        "decoder.ln.weight": "decoder.layer_norm.weight",
    }.items():
        assert torch.equal(tensors[ours], state[name]), ours


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_stored_type_is_kept(folder: Path, dtype: torch.dtype) -> None:
    before = load_weights(folder).tensors
    _edit_tensors(folder, lambda tensors: tensors.update({k: v.to(dtype) for k, v in tensors.items()}))
    after = load_weights(folder).tensors
    assert all(torch.equal(after[name], tensor.to(dtype)) for name, tensor in before.items())


def test_shards_equal_the_whole(theirs: WhisperForConditionalGeneration, folder: Path, tmp_path: Path) -> None:
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="60KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    whole, sharded = load_weights(folder), load_weights(tmp_path / "shards")
    assert all(torch.equal(sharded.tensors[name], tensor) for name, tensor in whole.tensors.items())


def test_a_missing_shard_is_named(theirs: WhisperForConditionalGeneration, tmp_path: Path) -> None:
    theirs.save_pretrained(tmp_path, max_shard_size="60KB")
    shard = sorted(tmp_path.glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(UnknownLayout, match=f"expected the shard {shard.name}"):
        load_weights(tmp_path)


def test_the_bare_model_without_prefix(theirs: WhisperForConditionalGeneration, folder: Path, tmp_path: Path) -> None:
    theirs.model.save_pretrained(tmp_path / "bare")
    bare, whole = load_weights(tmp_path / "bare"), load_weights(folder)
    assert all(torch.equal(bare.tensors[name], tensor) for name, tensor in whole.tensors.items())


def test_absent_encoder_positions_are_computed(folder: Path) -> None:
    _edit_tensors(folder, lambda tensors: [tensors.pop("model.encoder.embed_positions.weight")])
    positions = load_weights(folder).tensors["encoder.positional_embedding"]
    torch.testing.assert_close(positions, sinusoids(25, 32), rtol=0, atol=0)


def test_a_stored_projection_must_be_the_embedding(folder: Path) -> None:
    embedding = load_weights(folder).tensors["decoder.token_embedding.weight"]
    _edit_tensors(folder, lambda tensors: tensors.update({"proj_out.weight": embedding.clone()}))
    assert "proj_out.weight" not in load_weights(folder).tensors
    _edit_tensors(folder, lambda tensors: tensors.update({"proj_out.weight": embedding + 1}))
    with pytest.raises(IncompatibleWeights, match=r"proj_out.weight: expected the token embedding \(tied\)"):
        load_weights(folder)


def test_alignment_heads_come_from_the_generation_config(folder: Path) -> None:
    assert load_weights(folder).alignment_heads is None
    _edit_json(folder / "generation_config.json", alignment_heads=[[1, 0], [2, 1]])
    assert load_weights(folder).alignment_heads == ((1, 0), (2, 1))
    _edit_json(folder / "generation_config.json", alignment_heads=[1, 0])
    with pytest.raises(UnknownLayout, match="alignment_heads: expected"):
        load_weights(folder)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model_type": "wav2vec2"}, UnknownLayout, "model_type: expected 'whisper', found 'wav2vec2'"),
        (
            {"activation_function": "relu"},
            UnknownLayout,
            "activation_function: expected 'gelu', found 'relu'",
        ),
        ({"scale_embedding": True}, UnknownLayout, "scale_embedding: expected False, found True"),
        ({"quantization_config": {"bits": 4}}, QuantizedWeights, "is quantised.*convert"),
        ({"decoder_layers": 4}, IncompatibleWeights, r"missing decoder\.layers\.3\."),
        ({"decoder_layers": 2}, IncompatibleWeights, r"decoder\.layers\.2\..* not expected"),
        (
            {"vocab_size": 99},
            IncompatibleWeights,
            r"token_embedding.weight: expected shape \(99, 32\), found \(100, 32\)",
        ),
    ],
)
def test_a_config_that_does_not_fit(
    folder: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    _edit_json(folder / "config.json", **changes)
    with pytest.raises(error, match=message):
        load_weights(folder)


def test_a_config_without_sizes_missing_or_damaged(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text('{"model_type": "whisper"}')
    with pytest.raises(UnknownLayout, match="found no d_model"):
        load_weights(folder)
    config.write_text("{")
    with pytest.raises(UnknownLayout, match="expected JSON"):
        load_weights(folder)
    config.write_text("[]")
    with pytest.raises(UnknownLayout, match="expected a JSON object, found list"):
        load_weights(folder)
    config.unlink()
    with pytest.raises(UnknownLayout, match=r"expected a file config\.json"):
        load_weights(folder)


def test_a_missing_and_an_extra_tensor_are_named(folder: Path) -> None:
    _edit_tensors(folder, lambda tensors: tensors.update(lora=torch.zeros(1)))
    with pytest.raises(IncompatibleWeights, match="lora not expected"):
        load_weights(folder)
    _edit_tensors(folder, lambda tensors: [tensors.pop("lora"), tensors.pop("model.decoder.layer_norm.bias")])
    with pytest.raises(IncompatibleWeights, match=r"missing decoder\.layer_norm\.bias"):
        load_weights(folder)


def test_a_damaged_file_is_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UnknownLayout, match=r"model\.safetensors: expected a safetensors file"):
        load_weights(folder)

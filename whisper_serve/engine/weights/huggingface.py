"""Hugging Face folders: config.json and the tensors in model.safetensors, whole or in shards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .dimensions import Dimensions
from .errors import IncompatibleWeights, QuantizedWeights, UnknownLayout
from .layout import CONVERSION_HINT, ENCODER_POSITIONS, check_names, complete, expected_shapes
from .safetensors_file import alignment_heads, read_tensors
from .weights import Weights

TENSORS = "model.safetensors"
SHARDS = "model.safetensors.index.json"

# transformers' configuration_whisper.py: its name for each dimension.
DIMENSIONS = {
    "n_mels": "num_mel_bins",
    "n_audio_ctx": "max_source_positions",
    "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads",
    "n_audio_layer": "encoder_layers",
    "n_vocab": "vocab_size",
    "n_text_ctx": "max_target_positions",
    "n_text_state": "d_model",
    "n_text_head": "decoder_attention_heads",
    "n_text_layer": "decoder_layers",
}
# Settings under which transformers computes what OpenAI's model computes; the first value is the default.
_SETTINGS: Mapping[str, Any] = {
    "model_type": "whisper",
    "activation_function": "gelu",
    "scale_embedding": False,
}
# Parts of OpenAI's names and what transformers calls them, replaced in this order.
_RENAMES = (
    (".blocks.", ".layers."),
    (".cross_attn_ln.", ".encoder_attn_layer_norm."),
    (".attn_ln.", ".self_attn_layer_norm."),
    (".mlp_ln.", ".final_layer_norm."),
    (".cross_attn.", ".encoder_attn."),
    (".attn.", ".self_attn."),
    (".query.", ".q_proj."),
    (".key.", ".k_proj."),
    (".value.", ".v_proj."),
    (".out.", ".out_proj."),
    (".mlp.0.", ".fc1."),
    (".mlp.2.", ".fc2."),
    ("encoder.ln_post.", "encoder.layer_norm."),
    ("decoder.ln.", "decoder.layer_norm."),
    (".token_embedding.", ".embed_tokens."),
    (".positional_embedding", ".embed_positions.weight"),
)
MODEL_PREFIX = "model."  # WhisperForConditionalGeneration has it, the bare WhisperModel has not
_PROJECTION = "proj_out.weight"


def read_folder(folder: Path) -> Weights:
    """Weights of a Hugging Face folder, mapped into memory, named after the folder.

    Raises UnknownLayout, QuantizedWeights or IncompatibleWeights.
    """
    config = read_json(folder / "config.json")
    dimensions = _dimensions(folder, config)
    stored = {name.removeprefix(MODEL_PREFIX): tensor for name, tensor in _stored(folder).items()}
    _drop_projection(folder, stored)
    names = {name: stored_name(name) for name in expected_shapes(dimensions)}
    if names[ENCODER_POSITIONS] not in stored:
        del names[ENCODER_POSITIONS]
    check_names(str(folder), names.values(), stored)
    tensors = {name: stored[theirs] for name, theirs in names.items()}
    return complete(str(folder), folder.resolve().name, dimensions, tensors, _heads(folder))


def stored_name(name: str) -> str:
    """transformers' name (without the prefix `model.`) of a tensor by OpenAI's name."""
    for ours, theirs in _RENAMES:
        name = name.replace(ours, theirs)
    return name


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises UnknownLayout when it is missing, damaged or something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UnknownLayout(f"{path.parent}: expected a file {path.name} beside the weights, found none") from error
    except ValueError as error:
        raise UnknownLayout(f"{path}: expected JSON: {error}") from error
    if not isinstance(value, dict):
        raise UnknownLayout(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def _dimensions(folder: Path, config: dict[str, Any]) -> Dimensions:
    if "quantization_config" in config:
        raise QuantizedWeights(f"{folder} is quantised: {CONVERSION_HINT}")
    for key, expected in _SETTINGS.items():
        if (found := config.get(key, expected)) != expected:
            raise UnknownLayout(f"{folder}/config.json: {key}: expected {expected!r}, found {found!r}")
    if missing := sorted(set(DIMENSIONS.values()) - set(config)):
        raise UnknownLayout(f"{folder}/config.json: expected a Whisper model's sizes, found no {', '.join(missing)}")
    return Dimensions.from_mapping({ours: config[theirs] for ours, theirs in DIMENSIONS.items()})


def _stored(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of the folder under transformers' names."""
    if (folder / TENSORS).is_file():
        return read_tensors(folder / TENSORS)[1]
    weight_map = read_json(folder / SHARDS).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UnknownLayout(f"{folder / SHARDS}: expected a weight_map from tensors to files")
    tensors: dict[str, torch.Tensor] = {}
    for shard in sorted(set(weight_map.values())):
        if not (folder / shard).is_file():
            raise UnknownLayout(f"{folder}: expected the shard {shard} that {SHARDS} names, found none")
        tensors |= read_tensors(folder / shard)[1]
    return tensors


def _drop_projection(folder: Path, stored: dict[str, torch.Tensor]) -> None:
    """Removes the output projection where it is stored; it must be the token embedding once more."""
    projection, embedding = stored.pop(_PROJECTION, None), stored.get("decoder.embed_tokens.weight")
    if projection is not None and embedding is not None and not torch.equal(projection, embedding):
        raise IncompatibleWeights(f"{folder}: {_PROJECTION}: expected the token embedding (tied), found other values")


def _heads(folder: Path) -> tuple[tuple[int, int], ...] | None:
    path = folder / "generation_config.json"
    return alignment_heads(path, read_json(path).get("alignment_heads")) if path.is_file() else None

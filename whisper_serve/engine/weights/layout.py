"""The tensors of a Whisper model: names and shapes from the dimensions, and the check against them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

import torch

from .dimensions import Dimensions
from .errors import IncompatibleWeights, QuantizedWeights
from .weights import AlignmentHeads, Weights

Shape = tuple[int, ...]

ENCODER_POSITIONS = "encoder.positional_embedding"
FLOAT_TYPES = (torch.float32, torch.float16, torch.bfloat16)
CONVERSION_HINT = "expected float32, float16 or bfloat16; convert the original model again without quantisation"
_SHOWN = 5  # names listed in an error before the rest is counted


def expected_shapes(dimensions: Dimensions) -> dict[str, Shape]:
    """Shape of every tensor by its OpenAI name, in the order of the model.

    The output projection is not among them: it is `decoder.token_embedding.weight`.
    """
    audio, text = dimensions.n_audio_state, dimensions.n_text_state
    shapes: dict[str, Shape] = {ENCODER_POSITIONS: (dimensions.n_audio_ctx, audio)}
    shapes |= _affine("encoder.conv1", audio, dimensions.n_mels, 3)
    shapes |= _affine("encoder.conv2", audio, audio, 3)
    for index in range(dimensions.n_audio_layer):
        shapes |= _block(f"encoder.blocks.{index}", audio, ("attn",))
    shapes |= _norm("encoder.ln_post", audio)
    shapes["decoder.token_embedding.weight"] = (dimensions.n_vocab, text)
    shapes["decoder.positional_embedding"] = (dimensions.n_text_ctx, text)
    for index in range(dimensions.n_text_layer):
        shapes |= _block(f"decoder.blocks.{index}", text, ("attn", "cross_attn"))
    return shapes | _norm("decoder.ln", text)


def _block(prefix: str, state: int, attentions: tuple[str, ...]) -> dict[str, Shape]:
    """One transformer block: attentions with their norms, then a two-layer perceptron four times as wide."""
    shapes: dict[str, Shape] = {}
    for attention in attentions:
        for projection in ("query", "key", "value", "out"):
            shapes |= _affine(f"{prefix}.{attention}.{projection}", state, state)
        del shapes[f"{prefix}.{attention}.key.bias"]  # keys have none: it would cancel in the softmax
        shapes |= _norm(f"{prefix}.{attention}_ln", state)
    shapes |= _affine(f"{prefix}.mlp.0", 4 * state, state)
    shapes |= _affine(f"{prefix}.mlp.2", state, 4 * state)
    return shapes | _norm(f"{prefix}.mlp_ln", state)


def _affine(prefix: str, *weight: int) -> dict[str, Shape]:
    return {f"{prefix}.weight": weight, f"{prefix}.bias": weight[:1]}


def _norm(prefix: str, state: int) -> dict[str, Shape]:
    return {f"{prefix}.weight": (state,), f"{prefix}.bias": (state,)}


def sinusoids(length: int, channels: int, max_timescale: float = 10_000.0) -> torch.Tensor:
    """The encoder's fixed positions, float32 (length, channels): first the sines, then the cosines.

    Same as `sinusoids` of openai-whisper's model.py (the tensor2tensor layout, not the interleaved one).
    """
    step = math.log(max_timescale) / (channels // 2 - 1)
    frequencies = torch.exp(-step * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * frequencies[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def check_names(where: str, expected: Collection[str], found: Collection[str]) -> None:
    """Raises IncompatibleWeights when a name is missing or one is there that the model has no place for."""
    if missing := sorted(set(expected) - set(found)):
        raise IncompatibleWeights(f"{where}: missing {_listed(missing)}: expected {len(expected)} tensors")
    if extra := sorted(set(found) - set(expected)):
        raise IncompatibleWeights(f"{where}: {_listed(extra)} not expected: a Whisper model has no such tensors")


def _listed(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def complete(
    where: str,
    name: str,
    dimensions: Dimensions,
    tensors: Mapping[str, torch.Tensor],
    alignment_heads: AlignmentHeads | None = None,
) -> Weights:
    """Weights from tensors under OpenAI's names, checked one by one; `where` begins the errors' sentences.

    The encoder's positions are computed where the source leaves them out.
    Raises IncompatibleWeights or QuantizedWeights.
    """
    shapes = expected_shapes(dimensions)
    tensors = dict(tensors)
    if ENCODER_POSITIONS not in tensors:
        tensors[ENCODER_POSITIONS] = sinusoids(*shapes[ENCODER_POSITIONS])
    check_names(where, shapes, tensors)
    ordered = {key: tensors[key] for key in shapes}
    for key, tensor in ordered.items():
        _check_tensor(f"{where}: {key}", shapes[key], tensor)
    _check_heads(where, dimensions, alignment_heads or ())
    return Weights(name, dimensions, ordered, alignment_heads)


def _check_tensor(what: str, shape: Shape, tensor: torch.Tensor) -> None:
    if tuple(tensor.shape) != shape:
        raise IncompatibleWeights(f"{what}: expected shape {shape}, found {tuple(tensor.shape)}")
    if tensor.is_quantized or not tensor.dtype.is_floating_point:
        raise QuantizedWeights(f"{what} is quantised ({tensor.dtype}): {CONVERSION_HINT}")
    if tensor.dtype not in FLOAT_TYPES:
        raise IncompatibleWeights(f"{what}: expected float32, float16 or bfloat16, found {tensor.dtype}")


def _check_heads(where: str, dimensions: Dimensions, heads: Iterable[tuple[int, int]]) -> None:
    layers, width = dimensions.n_text_layer, dimensions.n_text_head
    for layer, head in heads:
        if not (0 <= layer < layers and 0 <= head < width):
            raise IncompatibleWeights(
                f"{where}: alignment head ({layer}, {head}) is outside the decoder: "
                f"expected {layers} layers of {width} heads"
            )

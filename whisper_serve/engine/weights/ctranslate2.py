"""CTranslate2 folders: its names, with query, key and value fused, mapped onto OpenAI's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from .ctranslate2_file import read_container
from .dimensions import Dimensions
from .errors import IncompatibleWeights, QuantizedWeights, UnknownLayout
from .huggingface import read_json
from .layout import CONVERSION_HINT, ENCODER_POSITIONS, check_names, complete
from .safetensors_file import alignment_heads
from .weights import Weights

MODEL = "model.bin"

_SPEC = "WhisperSpec"
_POSITIONS = "position_encodings/encodings"
_EMBEDDING = "decoder/embeddings/weight"
_PROJECTION = "decoder/projection/weight"
_GELU = 3  # in CTranslate2's enum ActivationType (include/ctranslate2/ops/activation.h)
# Settings of the decoder under which CTranslate2 computes what OpenAI's model computes.
_SETTINGS = {
    "decoder/activation": _GELU,
    "decoder/alibi": 0,
    "decoder/pre_norm": 1,
    "decoder/scale_embeddings": 0,
    "decoder/start_from_zero_embedding": 0,
}
# OpenAI's projections in the order in which their rows lie in each linear layer of an attention.
_SELF_ATTENTION = (("query", "key", "value"), ("out",))
_CROSS_ATTENTION = (("query",), ("key", "value"), ("out",))

Variables = Mapping[str, torch.Tensor]
Plan = Iterator[tuple[str, tuple[str, ...]]]


def read_folder(folder: Path) -> Weights:
    """Weights of a CTranslate2 folder, mapped into memory where their address allows, named after the folder.

    Raises UnknownLayout, QuantizedWeights or IncompatibleWeights.
    """
    container = read_container(folder / MODEL)
    if container.spec != _SPEC:
        raise UnknownLayout(f"{folder}: expected a {_SPEC}, found a {container.spec}")
    variables = container.variables
    _check_float(folder, variables)
    _check_settings(folder, variables)
    dimensions = _dimensions(folder, variables)
    tensors = _tensors(folder, dimensions, {name: value for name, value in variables.items() if value.dim()})
    config = folder / "config.json"
    heads = alignment_heads(config, read_json(config).get("alignment_heads")) if config.is_file() else None
    return complete(str(folder), folder.resolve().name, dimensions, tensors, heads)


def _check_float(folder: Path, variables: Variables) -> None:
    """Of a model that is not quantised, numbers (rank 0) and the alignment heads are the only integers."""
    for name, value in variables.items():
        if value.dim() and name.endswith("/weight") and not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise QuantizedWeights(
                f"{folder} is quantised ({name} is {kind}): {CONVERSION_HINT} (--quantization float16)"
            )


def _check_settings(folder: Path, variables: Variables) -> None:
    for name, expected in _SETTINGS.items():
        found = int(variables[name]) if name in variables else expected
        if found != expected:
            raise UnknownLayout(f"{folder}: {name}: expected {expected}, found {found}")


def _dimensions(folder: Path, variables: Variables) -> Dimensions:
    """The dimensions, read off the shapes."""

    def shape(name: str, rank: int) -> tuple[int, ...]:
        value = variables.get(name)
        if value is None or value.dim() != rank:
            found = "nothing" if value is None else f"shape {tuple(value.shape)}"
            raise IncompatibleWeights(f"{folder}: {name}: expected a tensor of rank {rank}, found {found}")
        return tuple(value.shape)

    def heads(side: str) -> int:
        shape(f"{side}/num_heads", 0)
        return int(variables[f"{side}/num_heads"])

    audio_ctx, audio_state = shape(f"encoder/{_POSITIONS}", 2)
    text_ctx, text_state = shape(f"decoder/{_POSITIONS}", 2)
    return Dimensions(
        n_mels=shape("encoder/conv1/weight", 3)[1],
        n_audio_ctx=audio_ctx,
        n_audio_state=audio_state,
        n_audio_head=heads("encoder"),
        n_audio_layer=_layers(variables, "encoder"),
        n_vocab=shape(_EMBEDDING, 2)[0],
        n_text_ctx=text_ctx,
        n_text_state=text_state,
        n_text_head=heads("decoder"),
        n_text_layer=_layers(variables, "decoder"),
    )


def _layers(variables: Variables, side: str) -> int:
    prefix = f"{side}/layer_"
    return len({name.split("/")[1] for name in variables if name.startswith(prefix)} - {"layer_norm"})


def _tensors(folder: Path, dimensions: Dimensions, variables: Variables) -> dict[str, torch.Tensor]:
    plan = dict(_plan(dimensions))
    check_names(str(folder), {*plan, _PROJECTION}, set(variables) - {"decoder/alignment_heads"})
    if not torch.equal(variables[_PROJECTION], variables[_EMBEDDING]):
        raise IncompatibleWeights(f"{folder}: {_PROJECTION}: expected the token embedding (tied), found other values")
    tensors: dict[str, torch.Tensor] = {}
    for name, parts in plan.items():
        tensors |= zip(parts, _split(f"{folder}: {name}", variables[name], len(parts)), strict=True)
    for name in [name for name in tensors if name.endswith(".key.bias")]:
        if tensors.pop(name).any():
            raise IncompatibleWeights(
                f"{folder}: {name}: expected zeros (Whisper's keys have no bias), found other values"
            )
    return tensors


def _split(what: str, variable: torch.Tensor, parts: int) -> tuple[torch.Tensor, ...]:
    rows = variable.shape[0]
    if rows % parts:
        raise IncompatibleWeights(f"{what}: expected {parts} projections of equal height, found {rows} rows")
    return variable.chunk(parts)


def _plan(dimensions: Dimensions) -> Plan:
    """Each of CTranslate2's tensors with the OpenAI tensors it holds, one below the other."""
    yield f"encoder/{_POSITIONS}", (ENCODER_POSITIONS,)
    yield from _affine("encoder/conv1", ("encoder.conv1",))
    yield from _affine("encoder/conv2", ("encoder.conv2",))
    yield from _norm("encoder/layer_norm", "encoder.ln_post")
    for index in range(dimensions.n_audio_layer):
        yield from _layer(f"encoder/layer_{index}", f"encoder.blocks.{index}")
    yield _EMBEDDING, ("decoder.token_embedding.weight",)
    yield f"decoder/{_POSITIONS}", ("decoder.positional_embedding",)
    yield from _norm("decoder/layer_norm", "decoder.ln")
    for index in range(dimensions.n_text_layer):
        theirs, ours = f"decoder/layer_{index}", f"decoder.blocks.{index}"
        yield from _layer(theirs, ours)
        yield from _attention(f"{theirs}/attention", f"{ours}.cross_attn", _CROSS_ATTENTION)


def _layer(theirs: str, ours: str) -> Plan:
    yield from _attention(f"{theirs}/self_attention", f"{ours}.attn", _SELF_ATTENTION)
    yield from _norm(f"{theirs}/ffn/layer_norm", f"{ours}.mlp_ln")
    yield from _affine(f"{theirs}/ffn/linear_0", (f"{ours}.mlp.0",))
    yield from _affine(f"{theirs}/ffn/linear_1", (f"{ours}.mlp.2",))


def _attention(theirs: str, ours: str, linears: tuple[tuple[str, ...], ...]) -> Plan:
    yield from _norm(f"{theirs}/layer_norm", f"{ours}_ln")
    for index, projections in enumerate(linears):
        yield from _affine(f"{theirs}/linear_{index}", tuple(f"{ours}.{name}" for name in projections))


def _affine(theirs: str, ours: tuple[str, ...]) -> Plan:
    for kind in ("weight", "bias"):
        yield f"{theirs}/{kind}", tuple(f"{name}.{kind}" for name in ours)


def _norm(theirs: str, ours: str) -> Plan:
    yield f"{theirs}/gamma", (f"{ours}.weight",)
    yield f"{theirs}/beta", (f"{ours}.bias",)

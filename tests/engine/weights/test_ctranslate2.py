"""Files written byte by byte in conftest.py; the real one, by CTranslate2's converter, is in test_trial.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from whisper_serve.engine.weights import (
    IncompatibleWeights,
    QuantizedWeights,
    UnknownLayout,
    Weights,
    WeightsError,
    load_weights,
)

if TYPE_CHECKING:
    from tests.engine.weights.conftest import Ct2File

QKV = "decoder/layer_1/self_attention/linear_0"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_fused_projections_come_apart_in_order(
    tiny: Weights, ct2_file: Ct2File, tmp_path: Path, dtype: torch.dtype
) -> None:
    for name, value in ct2_file.variables.items():
        if value.is_floating_point():
            ct2_file.variables[name] = value.to(dtype)
    weights = load_weights(ct2_file.write(tmp_path / "mini-ct2"))
    assert (weights.name, weights.dimensions, weights.alignment_heads) == ("mini-ct2", tiny.dimensions, None)
    assert weights.tensors.keys() == tiny.tensors.keys()
    for name, tensor in tiny.tensors.items():
        assert torch.equal(weights.tensors[name], tensor.to(dtype)), name


def test_the_file_itself_may_be_named_too(tiny: Weights, ct2_file: Ct2File, tmp_path: Path) -> None:
    folder = ct2_file.write(tmp_path / "mini")
    assert load_weights(folder / "model.bin").name == "mini"


def test_tensors_are_aligned_and_reading_changes_nothing(ct2_file: Ct2File, tmp_path: Path) -> None:
    path = ct2_file.write(tmp_path / "mini") / "model.bin"
    before = path.read_bytes()
    weights = load_weights(path.parent)
    assert all(tensor.data_ptr() % tensor.element_size() == 0 for tensor in weights.tensors.values())
    weights.tensors["decoder.ln.weight"].zero_()
    assert path.read_bytes() == before


def test_alignment_heads_come_from_the_config(ct2_file: Ct2File, tmp_path: Path) -> None:
    folder = ct2_file.write(tmp_path / "mini")
    (folder / "config.json").write_text(json.dumps({"alignment_heads": [[2, 1]]}))
    assert load_weights(folder).alignment_heads == ((2, 1),)


def test_any_variable_may_be_an_alias(tiny: Weights, ct2_file: Ct2File, tmp_path: Path) -> None:
    """The converter stores equal tensors once."""
    same = "decoder/layer_0/self_attention/layer_norm/beta"
    assert torch.equal(ct2_file.variables.pop("decoder/layer_norm/beta"), ct2_file.variables[same])
    ct2_file.aliases["decoder/layer_norm/beta"] = same
    weights = load_weights(ct2_file.write(tmp_path / "mini"))
    assert torch.equal(weights.tensors["decoder.ln.bias"], tiny.tensors["decoder.ln.bias"])


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16])
def test_quantised_models_are_refused_with_the_way_out(ct2_file: Ct2File, tmp_path: Path, dtype: torch.dtype) -> None:
    ct2_file.variables[f"{QKV}/weight"] = ct2_file.variables[f"{QKV}/weight"].to(dtype)
    ct2_file.variables[f"{QKV}/weight_scale"] = torch.ones(48)
    with pytest.raises(QuantizedWeights, match=r"quantised.*linear_0/weight is int.*--quantization float16"):
        load_weights(ct2_file.write(tmp_path / "mini"))


def _unequal_projection(file: Ct2File) -> None:
    del file.aliases["decoder/projection/weight"]
    file.variables["decoder/projection/weight"] = file.variables["decoder/embeddings/weight"] + 1


def _key_bias(file: Ct2File) -> None:
    file.variables[f"{QKV}/bias"] = torch.ones(48)


def _odd_rows(file: Ct2File) -> None:
    file.variables[f"{QKV}/weight"] = torch.zeros(47, 16)


CHANGES: dict[str, tuple[Callable[[Ct2File], object], type[WeightsError], str]] = {
    "missing": (lambda f: f.variables.pop(f"{QKV}/bias"), IncompatibleWeights, f"missing {QKV}/bias"),
    "extra": (lambda f: f.variables.update(x=torch.ones(2)), IncompatibleWeights, "x not expected"),
    "key bias": (_key_bias, IncompatibleWeights, r"blocks\.1\.attn\.key\.bias: expected zeros"),
    "odd rows": (_odd_rows, IncompatibleWeights, "3 projections of equal height, found 47 rows"),
    "untied": (_unequal_projection, IncompatibleWeights, r"expected the token embedding \(tied\)"),
    "no heads": (
        lambda f: f.variables.pop("encoder/num_heads"),
        IncompatibleWeights,
        "encoder/num_heads: expected",
    ),
    "no convolution": (
        lambda f: f.variables.update({"encoder/conv1/weight": torch.ones(3)}),
        IncompatibleWeights,
        r"encoder/conv1/weight: expected a tensor of rank 3, found shape \(3,\)",
    ),
    "activation": (
        lambda f: f.variables.update({"decoder/activation": torch.tensor(0, dtype=torch.int8)}),
        UnknownLayout,
        "decoder/activation: expected 3, found 0",
    ),
    "spec": (
        lambda f: setattr(f, "spec", "TransformerSpec"),
        UnknownLayout,
        "expected a WhisperSpec, found a Trans",
    ),
    "version": (lambda f: setattr(f, "version", 7), UnknownLayout, "version 6: found version 7"),
    "dangling alias": (lambda f: f.aliases.update(a="b"), UnknownLayout, "a stands for b, which is missing"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_does_not_fit_is_named(ct2_file: Ct2File, tmp_path: Path, case: str) -> None:
    change, error, message = CHANGES[case]
    change(ct2_file)
    with pytest.raises(error, match=message):
        load_weights(ct2_file.write(tmp_path / "mini"))


def test_every_cut_of_the_file_is_noticed(ct2_file: Ct2File, tmp_path: Path) -> None:
    content = ct2_file.content()
    path = ct2_file.write(tmp_path / "mini") / "model.bin"
    for length in [*range(0, 400, 7), *range(400, len(content), 997), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(UnknownLayout, match=r"expected a CTranslate2 model"):
            load_weights(path.parent)


def test_bytes_after_the_end_and_noise_are_refused(ct2_file: Ct2File, tmp_path: Path) -> None:
    path = ct2_file.write(tmp_path / "mini") / "model.bin"
    content = path.read_bytes()
    path.write_bytes(content + b"more")
    with pytest.raises(UnknownLayout, match="found 4 bytes after the end"):
        load_weights(path.parent)
    generator = torch.Generator().manual_seed(3)
    for _ in range(200):  # whatever the bytes, only errors of our tree come out
        noisy = bytearray(content)
        for position in torch.randint(0, 600, (3,), generator=generator).tolist():
            noisy[position] ^= 1 + position % 255
        path.write_bytes(noisy)
        try:
            load_weights(path.parent)
        except WeightsError:
            continue


def test_a_variable_whose_size_contradicts_its_shape(ct2_file: Ct2File, tmp_path: Path) -> None:
    content = ct2_file.content()
    first = sorted(ct2_file.variables)[0]  # decoder/activation: rank 0, type int8, 1 byte
    assert first == "decoder/activation"
    at = content.index(first.encode()) + len(first) + 1
    assert content[at : at + 6] == b"\0\1\1\0\0\0"
    for position, value, message in ((at + 2, 2, "has 2 bytes"), (at + 1, 9, "unknown type 9")):
        changed = bytearray(content)
        changed[position] = value
        (tmp_path / "model.bin").write_bytes(changed)
        with pytest.raises(UnknownLayout, match=message):
            load_weights(tmp_path)

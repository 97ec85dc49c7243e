from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from whisper_serve.engine.weights import (
    IncompatibleWeights,
    UnknownLayout,
    Weights,
    WrongHash,
    load_weights,
    save_weights,
)
from whisper_serve.engine.weights.layout import complete
from whisper_serve.engine.weights.safetensors_file import read_tensors


def _rewrite(path: Path, metadata: dict[str, str]) -> None:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - it is no dict
    save_file(tensors, path, metadata)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_saved_weights_come_back_whole(tiny: Weights, tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in tiny.tensors.items()}
    weights = complete("x", "a name", tiny.dimensions, tensors, tiny.alignment_heads)
    save_weights(weights, tmp_path / "w.safetensors")
    again = load_weights(tmp_path / "w.safetensors")
    assert (again.name, again.dimensions, again.alignment_heads) == (
        "a name",
        tiny.dimensions,
        tiny.alignment_heads,
    )
    assert list(again.tensors) == list(tensors)
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in tensors.items())


def test_unknown_alignment_heads_stay_unknown(tiny: Weights, tmp_path: Path) -> None:
    save_weights(complete("x", "x", tiny.dimensions, tiny.tensors), tmp_path / "w.safetensors")
    assert load_weights(tmp_path / "w.safetensors").alignment_heads is None


def test_views_into_one_storage_and_transposed_tensors_are_saved(tiny: Weights, tmp_path: Path) -> None:
    fused = torch.arange(3 * 16 * 16, dtype=torch.float32).view(48, 16)
    parts = dict(zip(("query", "key", "value"), fused.chunk(3), strict=True))
    tensors = {**tiny.tensors, **{f"encoder.blocks.0.attn.{k}.weight": v for k, v in parts.items()}}
    tensors["encoder.blocks.0.attn.out.weight"] = parts["query"].T
    save_weights(complete("x", "x", tiny.dimensions, tensors), tmp_path / "w.safetensors")
    again = load_weights(tmp_path / "w.safetensors").tensors
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


def test_tensors_are_mapped_not_read(tmp_path: Path) -> None:
    """A tensor of 64 MB in the file must not cost memory before it is used."""
    big = torch.ones(16 << 20)
    save_file({"big": big}, tmp_path / "big.safetensors")
    before = psutil.Process().memory_info().rss
    _, tensors = read_tensors(tmp_path / "big.safetensors")
    assert psutil.Process().memory_info().rss - before < 16 << 20
    assert tensors["big"][-1] == 1


@pytest.mark.parametrize("place", [-1, -5000])
def test_a_damaged_weight_is_noticed(tiny: Weights, tmp_path: Path, place: int) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(tiny, path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(WrongHash, match=r"w\.safetensors has the wrong SHA-256"):
        load_weights(path)


def test_an_existing_file_is_replaced_and_nothing_is_left_beside_it(tiny: Weights, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_text("old")
    save_weights(tiny, path)
    assert load_weights(path).name == tiny.name
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]


def test_the_file_has_the_usual_rights(tiny: Weights, tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.touch()
    save_weights(tiny, tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").stat().st_mode == usual.stat().st_mode


def test_a_failed_save_leaves_nothing(tiny: Weights, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"):
        save_weights(tiny, tmp_path / "gone" / "w.safetensors")
    (tmp_path / "w.safetensors").mkdir()
    with pytest.raises(OSError, match="directory"):
        save_weights(tiny, tmp_path / "w.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"version": 2}, UnknownLayout, r"\(version 1\), found version 2"),
        ({"dimensions": []}, UnknownLayout, r"expected the dimensions, found \[\]"),
        ({"dimensions": {}}, IncompatibleWeights, "dimensions lack"),
        ({"alignment_heads": [[9, 9]]}, IncompatibleWeights, "outside the decoder"),
        ({"alignment_heads": "all"}, UnknownLayout, "alignment_heads: expected"),
    ],
)
def test_metadata_that_does_not_fit(
    tiny: Weights, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(tiny, path)
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["whisper_serve"])
    _rewrite(path, {"whisper_serve": json.dumps({**metadata, **changes})})
    with pytest.raises(error, match=message):
        load_weights(path)


def test_safetensors_of_other_software(tiny: Weights, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(tiny, path)
    for metadata in ({}, {"format": "pt"}, {"whisper_serve": "[]"}):
        _rewrite(path, metadata)
        with pytest.raises(UnknownLayout, match="found one written by other software; of a Hugging Face model give"):
            load_weights(path)
    _rewrite(path, {"whisper_serve": "{"})
    with pytest.raises(UnknownLayout, match="metadata: expected JSON"):
        load_weights(path)


def test_equal_weights_make_equal_files(tiny: Weights, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_weights(tiny, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_cut_short_is_refused(tiny: Weights, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(tiny, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UnknownLayout, match="expected a safetensors file"):
        load_weights(path)

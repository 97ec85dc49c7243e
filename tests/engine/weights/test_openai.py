from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from whisper_serve.engine.weights import IncompatibleWeights, UnknownLayout, Weights, load_weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_checkpoint_comes_back_as_it_was_stored(
    tiny: Weights, tmp_path: Path, dtype: torch.dtype, zipped: bool
) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in tiny.tensors.items()}
    checkpoint = {"dims": tiny.dimensions.as_dict(), "model_state_dict": tensors}
    path = tmp_path / "my-model.pt"
    torch.save(checkpoint, path, _use_new_zipfile_serialization=zipped)

    weights = load_weights(path)

    assert (weights.name, weights.dimensions, weights.alignment_heads) == ("my-model", tiny.dimensions, None)
    assert weights.tensors.keys() == tiny.tensors.keys()
    for name, tensor in weights.tensors.items():
        torch.testing.assert_close(tensor, tensors[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ([1, 2], "expected a dictionary, found list"),
        ({"state_dict": {}}, "expected the keys dims and model_state_dict, found state_dict"),
        ({"dims": {"n_mels": 80}, "model_state_dict": {}}, "dimensions lack"),
    ],
)
def test_other_contents_are_named(tmp_path: Path, checkpoint: Any, message: str) -> None:
    torch.save(checkpoint, tmp_path / "model.pt")
    with pytest.raises((UnknownLayout, IncompatibleWeights), match=message):
        load_weights(tmp_path / "model.pt")


def test_something_else_than_tensors_is_refused(tiny: Weights, tmp_path: Path) -> None:
    state = {**tiny.tensors, "decoder.ln.bias": "none"}
    torch.save({"dims": tiny.dimensions.as_dict(), "model_state_dict": state}, tmp_path / "model.pt")
    with pytest.raises(UnknownLayout, match=r"tensors only, found something else in decoder\.ln\.bias"):
        load_weights(tmp_path / "model.pt")


def test_a_checkpoint_cut_short_is_refused(write_checkpoint: Callable[[Path], str], tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    write_checkpoint(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UnknownLayout, match="PyTorch cannot read it"):
        load_weights(path)


class _Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save({"dims": _Evil(trace), "model_state_dict": {}}, tmp_path / "model.pt", pickle_module=pickle)
    with pytest.raises(UnknownLayout, match="PyTorch cannot read it"):
        load_weights(tmp_path / "model.pt")
    assert not trace.exists()

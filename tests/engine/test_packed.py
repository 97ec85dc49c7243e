from __future__ import annotations

import pytest
import torch
from torch import nn

from whisper_serve.engine import packed
from whisper_serve.engine.model import replace_linears

pytestmark = pytest.mark.skipif(not packed.available(), reason="this PyTorch has no oneDNN")


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 1), (16, 1), (3, 100)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_gives_what_the_plain_one_gives(shape: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Linear(48, 96, bias=bias).requires_grad_(False)
    x = torch.randn(*shape, 48)
    assert torch.allclose(packed.PackedLinear(plain.weight, plain.bias)(x), plain(x), atol=1e-5)


def test_all_layers_are_packed_but_those_left() -> None:
    module = nn.ModuleDict({"kv": nn.Linear(4, 4), "inner": nn.Sequential(nn.Linear(4, 4), nn.GELU())})
    replace_linears(module.requires_grad_(False), packed.PackedLinear, leave="kv")
    assert isinstance(module["kv"], nn.Linear)
    assert [type(one).__name__ for one in module["inner"].children()] == ["PackedLinear", "GELU"]

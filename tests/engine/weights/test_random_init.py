from __future__ import annotations

import pytest
import torch

from whisper_serve.engine.weights import OFFICIAL_DIMENSIONS, UnknownModel, load_weights
from whisper_serve.engine.weights.layout import sinusoids
from whisper_serve.engine.weights.official import official_heads


def test_random_tiny_has_the_shapes_of_tiny_and_sane_values() -> None:
    weights = load_weights("random:tiny")
    tensors = weights.tensors
    assert weights.dimensions == OFFICIAL_DIMENSIONS["tiny"]
    assert weights.alignment_heads == official_heads("tiny")
    assert weights.name == "random:tiny"
    embedding = tensors["decoder.token_embedding.weight"]
    assert embedding.dtype == torch.float16
    assert embedding.float().std().item() == pytest.approx(0.02, rel=0.01)
    assert abs(embedding.float().mean().item()) < 1e-4
    norms = [name for name in tensors if "ln" in name.split(".")[-2]]
    assert len(norms) == 2 * (4 * 2 + 4 * 3 + 2)
    assert all(bool((tensors[name] == float(name.endswith("weight"))).all()) for name in norms)
    torch.testing.assert_close(tensors["encoder.positional_embedding"], sinusoids(1500, 384))


def test_random_weights_are_the_same_each_time() -> None:
    first, second = load_weights("random:tiny.en").tensors, load_weights("random:tiny.en").tensors
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    projections = [first[f"decoder.blocks.{index}.attn.query.weight"] for index in range(2)]
    assert not torch.equal(*projections)


@pytest.mark.parametrize("source", ["random:", "random:huge", "random:random:tiny"])
def test_an_unknown_size_lists_the_known_ones(source: str) -> None:
    with pytest.raises(UnknownModel, match=r"one of tiny\.en, tiny, .*large-v3-turbo, turbo, found"):
        load_weights(source)

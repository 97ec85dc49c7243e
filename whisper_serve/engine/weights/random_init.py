"""Random weights in the official shapes, for measuring speed where the real ones are not at hand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch

from .dimensions import OFFICIAL_DIMENSIONS, Dimensions
from .errors import UnknownModel
from .layout import ENCODER_POSITIONS, Shape, complete, expected_shapes
from .official import official_heads
from .weights import Weights

PREFIX = "random:"
_SEED = 20220921  # Whisper's first release
_DEVIATION = 0.02


def random_official(source: str) -> Weights:
    """Float16 weights, the same in every call, for a source like `random:tiny`. Raises UnknownModel."""
    name = source.removeprefix(PREFIX)
    if name not in OFFICIAL_DIMENSIONS:
        raise UnknownModel(f"{source}: expected {PREFIX} and one of {', '.join(OFFICIAL_DIMENSIONS)}, found {name!r}")
    tensors = random_tensors(OFFICIAL_DIMENSIONS[name], torch.float16)
    return complete(source, source, OFFICIAL_DIMENSIONS[name], tensors, official_heads(name))


def random_tensors(dimensions: Dimensions, dtype: torch.dtype, seed: int = _SEED) -> dict[str, torch.Tensor]:
    """Tensors of these dimensions, without the encoder's positions: norms at 1 and 0, the rest normal."""
    shapes = expected_shapes(dimensions)
    del shapes[ENCODER_POSITIONS]
    with ThreadPoolExecutor() as pool:  # A large model has 1.5 billion numbers.
        drawn = pool.map(partial(_tensor, dtype), shapes, shapes.values(), range(seed, seed + len(shapes)))
        return dict(zip(shapes, drawn, strict=True))


def _tensor(dtype: torch.dtype, name: str, shape: Shape, seed: int) -> torch.Tensor:
    module, kind = name.split(".")[-2:]
    if module.endswith("ln") or module == "ln_post":
        return torch.full(shape, float(kind == "weight"), dtype=dtype)
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(shape, dtype=dtype).normal_(0.0, _DEVIATION, generator=generator)

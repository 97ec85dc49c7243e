"""Linear layers of eight-bit integers on a CPU.

Weights have a scale for each output, activations one for each row (Krishnamoorthi 2018, arXiv:1806.08342); sums are
32-bit integers.
"""

from __future__ import annotations

import warnings
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ENGINES: Final = ("x86", "fbgemm")
"""PyTorch's integer kernels that are faster than float32."""
WEIGHT_LEVELS: Final = 127
"""What two neighbouring weights of one sign may sum to, before rounding, which adds 1 at most.

CPUs without VNNI add the products of two activations (0 to 255) and two weights in 16 bits, which hold 128 · 255.
"""
SMALLEST: Final = 1e-12
"""Sizes are at least this, so that what is all zero can be divided by its own."""


def available() -> bool:
    """Whether this machine's CPU has fast integer kernels, and this PyTorch their operators."""
    known = any(engine in torch.backends.quantized.supported_engines for engine in ENGINES)
    return known and hasattr(torch.ops.quantized, "linear_dynamic")


class Int8Linear(nn.Module):
    """A linear layer with 8-bit weights; takes and gives float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """``weight`` (outputs, inputs) and ``bias`` (outputs,) of the layer that this one stands for."""
        super().__init__()
        weight = weight.float()
        scales = (pair_sums(weight).amax(dim=1) / WEIGHT_LEVELS).clamp(min=SMALLEST)
        rounded = (weight / scales[:, None]).round().to(torch.int8)
        zeros = torch.zeros(len(scales), dtype=torch.long)
        with warnings.catch_warnings():
            # Quantized tensors are to leave PyTorch; its kernels take their weights as nothing else.
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
            quantized = torch._make_per_channel_quantized_tensor(rounded, scales.double(), zeros, 0)
        self._packed = torch.ops.quantized.linear_prepack(quantized, None)
        self._bias = None if bias is None else bias.float()

    def forward(self, x: Tensor) -> Tensor:
        # PyTorch has one scale for all of x: rows are brought to the same size, so that each has all the levels.
        # Largest and smallest are found many times faster than the norm to the power of infinity, or both at once.
        largest = torch.maximum(x.amax(dim=-1, keepdim=True), -x.amin(dim=-1, keepdim=True)).clamp_(min=SMALLEST)
        product: Tensor = torch.ops.quantized.linear_dynamic(x / largest, self._packed)
        return product.mul_(largest) if self._bias is None else torch.addcmul(self._bias, product, largest)


def pair_sums(weight: Tensor) -> Tensor:
    """Size of the largest sum, of either sign, that inputs 2i and 2i + 1 of each output can add up to.

    Args:
        weight: of shape (outputs, inputs).

    Returns:
        Of shape (outputs, ⌈inputs / 2⌉): of weights of one sign the size of their sum, of others that of the larger.
    """
    pairs = F.pad(weight, (0, weight.shape[1] % 2)).view(len(weight), -1, 2)
    return torch.maximum(pairs.clamp(min=0).sum(dim=2), -pairs.clamp(max=0).sum(dim=2))

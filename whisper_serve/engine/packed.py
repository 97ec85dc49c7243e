"""Linear layers of float32 for a few rows, on a CPU: weights in the order in which oneDNN reads them.

A decoder step multiplies each weight matrix with one row a window. PyTorch's usual kernels take twice as long for that
once there is more than one row, since they bring the weights into order in each call.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EXPECTED_ROWS: Final = 16
"""What the order is best for."""


def available() -> bool:
    """Whether this PyTorch has oneDNN and its operators."""
    operators = ("_linear_pointwise", "_reorder_linear_weight")
    built = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return built and all(hasattr(torch.ops.mkldnn, name) for name in operators)


class PackedLinear(nn.Module):
    """Gives what the float32 layer gives whose weights these are."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """``weight`` (outputs, inputs) and ``bias`` (outputs,)."""
        super().__init__()
        self._weight, self._bias = weight, bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, EXPECTED_ROWS)

    def forward(self, x: Tensor) -> Tensor:
        if x.numel() == x.shape[-1]:  # One row needs no order.
            return F.linear(x, self._weight, self._bias)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")
        return product

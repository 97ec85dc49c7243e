"""Eight-bit integers on a CPU: linear layers, and the memory of the audio's keys and values.

Weights have a scale for each output, activations one for each row (Krishnamoorthi 2018, arXiv:1806.08342); keys and
values have one for each position and head. Sums are 32-bit integers in the linear layers and float32 in attention.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

ENGINES: Final = ("x86", "fbgemm")
"""PyTorch's integer kernels that are faster than float32."""
LEVELS: Final = 127
WEIGHT_LEVELS: Final = 63
"""CPUs without VNNI add two products of an activation (0 to 255) and a weight in 16 bits: more would overflow."""
SMALLEST: Final = 1e-12
"""Sizes are at least this, so that what is all zero can be divided by its own."""
LONGEST_STEP: Final = 8
"""Tokens a row up to which attention reads the integers; more are cheaper in float32."""
LEAST_ITEMS: Final = 4
"""Rows times heads that a thread of attention takes on at least."""

Float32 = npt.NDArray[np.float32]
Int8 = npt.NDArray[np.int8]


def available() -> bool:
    """Whether this machine's CPU has fast integer kernels, and this PyTorch their operators."""
    known = any(engine in torch.backends.quantized.supported_engines for engine in ENGINES)
    return known and hasattr(torch.ops.quantized, "linear_dynamic")


class Int8Linear(nn.Module):
    """A linear layer with 8-bit weights; takes and gives float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """``weight`` (outputs, inputs) and ``bias`` (outputs,) of the layer that this one stands for."""
        super().__init__()
        scales = (weight.float().abs().amax(dim=1) / WEIGHT_LEVELS).clamp(min=SMALLEST)
        rounded = (weight.float() / scales[:, None]).round().to(torch.int8)
        zeros = torch.zeros(len(scales), dtype=torch.long)
        with warnings.catch_warnings():
            # Quantized tensors are to leave PyTorch; its kernels take their weights as nothing else.
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
            quantized = torch._make_per_channel_quantized_tensor(rounded, scales.double(), zeros, 0)
        self._packed = torch.ops.quantized.linear_prepack(quantized, None)
        self._bias = None if bias is None else bias.float()

    def forward(self, x: Tensor) -> Tensor:
        # PyTorch has one scale for all of x: rows are brought to the same size, so that each has all the levels.
        largest = torch.linalg.vector_norm(x, torch.inf, dim=-1, keepdim=True).clamp_(min=SMALLEST)
        product: Tensor = torch.ops.quantized.linear_dynamic(x / largest, self._packed)
        return product.mul_(largest) if self._bias is None else torch.addcmul(self._bias, product, largest)


def quantize_linears(module: nn.Module) -> None:
    """Put an `Int8Linear` in the place of every linear layer below a module."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear(child.weight, child.bias))
        else:
            quantize_linears(child)


def compile_kernels() -> None:
    """Have the machine code of attention made now, which takes seconds, rather than for the first window."""
    Int8CrossMemory(torch.zeros(1, 1, 2), heads=1).attend(torch.zeros(1, 1, 1, 1))


class Int8CrossMemory:
    """One layer's keys and values of the audio: see `attention_cache.CrossMemory`. A quarter of float32's memory."""

    def __init__(self, keys_values: Tensor, heads: int) -> None:
        """``keys_values`` (rows, audio context, 2 · state), float32: keys and behind them values."""
        rows, positions, width = keys_values.shape
        shape = (rows, 2, heads, positions, width // (2 * heads))
        self._numbers = np.empty(shape, np.int8)
        self._scales = np.empty(shape[:-1], np.float32)
        self._rows = np.arange(rows)
        _split(rows, _quantize, keys_values.contiguous().numpy(), self._numbers, self._scales)

    def attend(self, query: Tensor) -> Tensor:
        if query.shape[2] > LONGEST_STEP:
            keys, values = self._as_float()
            return F.scaled_dot_product_attention(query, keys, values)
        queries = query.contiguous().numpy()
        attended = np.empty_like(queries)
        parts = max(1, queries.shape[0] * queries.shape[1] // LEAST_ITEMS)
        _split(queries.shape[0] * queries.shape[1], _attend, queries, self._numbers, self._scales, self._rows, attended,
               parts=parts)  # fmt: skip
        return torch.from_numpy(attended)

    def keys_of(self, heads: Sequence[int]) -> Tensor:
        return self._as_float()[0][:, list(heads)]

    def keep(self, order: Sequence[int]) -> None:
        self._rows = self._rows[list(order)]

    def _as_float(self) -> tuple[Tensor, Tensor]:
        both = torch.from_numpy(self._numbers[self._rows]) * torch.from_numpy(self._scales[self._rows])[..., None]
        return both[:, 0], both[:, 1]


@cache
def _threads(process: int, number: int) -> ThreadPoolExecutor:
    """Helpers of this process: a forked one has none of its parent's threads."""
    return ThreadPoolExecutor(number, "int8")


def _split(items: int, kernel: Any, *arguments: Any, parts: int | None = None) -> None:
    """Run ``kernel(first, last, *arguments)`` over all items, in as many threads as PyTorch uses."""
    threads = torch.get_num_threads()
    number = min(items, threads, parts or threads)
    bounds = [items * part // number for part in range(number + 1)]
    rest = []
    if number > 1:
        pool = _threads(os.getpid(), threads - 1)
        rest = [pool.submit(kernel, bounds[i], bounds[i + 1], *arguments) for i in range(1, number)]
    kernel(bounds[0], bounds[1], *arguments)
    for one in rest:
        one.result()


_jit = numba.njit(nogil=True, fastmath=True)


@_jit
def _quantize(first: int, last: int, keys_values: Float32, numbers: Int8, scales: Float32) -> None:
    """Rows ``first`` to ``last`` to integers: see `Int8CrossMemory`."""
    _, kinds, heads, positions, size = numbers.shape
    for row in range(first, last):
        for position in range(positions):
            for kind in range(kinds):
                for head in range(heads):
                    begin = (kind * heads + head) * size
                    largest = np.float32(SMALLEST)
                    for i in range(size):
                        largest = max(largest, abs(keys_values[row, position, begin + i]))
                    scale = largest / np.float32(LEVELS)
                    scales[row, kind, head, position] = scale
                    factor = np.float32(1) / scale
                    for i in range(size):
                        numbers[row, kind, head, position, i] = np.int8(
                            np.rint(keys_values[row, position, begin + i] * factor)
                        )


NEGLIGIBLE: Final = 17.0
"""Below the highest score by more than this, a position has less than 5e-8 of its weight and is passed over."""


@_jit
def _attend(
    first: int,
    last: int,
    queries: Float32,
    numbers: Int8,
    scales: Float32,
    rows: npt.NDArray[np.int64],
    attended: Float32,
) -> None:
    """Softmax(query · keys / √size) · values, for the rows' heads ``first`` to ``last``, counted through."""
    _, heads, length, size = queries.shape
    positions = numbers.shape[3]
    scores = np.empty(positions, np.float32)
    query = np.empty(size, np.float32)
    total = np.empty(size, np.float32)
    for item in range(first, last):
        row, head = item // heads, item % heads
        keys, values = numbers[rows[row], 0, head], numbers[rows[row], 1, head]
        key_scales, value_scales = scales[rows[row], 0, head], scales[rows[row], 1, head]
        for token in range(length):
            for i in range(size):
                query[i] = queries[row, head, token, i] / np.float32(math.sqrt(size))
                total[i] = np.float32(0)
            highest = np.float32(-np.inf)
            for position in range(positions):
                product = np.float32(0)
                for i in range(size):
                    product += query[i] * np.float32(keys[position, i])
                scores[position] = product * key_scales[position]
                highest = max(highest, scores[position])
            weights = np.float32(0)
            for position in range(positions):
                if scores[position] > highest - np.float32(NEGLIGIBLE):
                    weight = np.float32(math.exp(scores[position] - highest))
                    weights += weight
                    weight *= value_scales[position]
                    for i in range(size):
                        total[i] += weight * np.float32(values[position, i])
            for i in range(size):
                attended[row, head, token, i] = total[i] / weights

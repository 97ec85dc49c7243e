"""The memory of the audio's keys and values as 8-bit integers, for CPUs.

Decoding reads all of it for each token, so its size is what a step costs. Each key and each value of a position and
head has a scale of its own; scores and sums are float32.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import cache
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from .int8 import SMALLEST

LEVELS: Final = 127
"""The largest number of 8 bits with a sign."""
LONGEST_STEP: Final = 10
"""Tokens a row, or beams of a window, up to which attention reads the integers; more are cheaper in float32."""
LEAST_ITEMS: Final = 4
"""Rows times heads that a thread of attention takes on at least."""

Float32 = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int8]


def compile_kernels() -> None:
    """Have the machine code of attention made now, which takes seconds, rather than for the first window."""
    CompactCrossMemory(torch.zeros(1, 1, 2), 1).attend(torch.zeros(1, 1, 1, 1))


class CompactCrossMemory:
    """One layer's keys and values of the audio: see `attention_cache.CrossMemory`."""

    def __init__(self, keys_values: Tensor, heads: int) -> None:
        """``keys_values`` (rows, audio context, 2 · state), float32: keys, behind them values."""
        rows, positions, width = keys_values.shape
        shape = (rows, 2, heads, positions, width // (2 * heads))
        self._numbers: Integers = np.empty(shape, np.int8)
        self._scales = np.empty(shape[:-1], np.float32)
        self._rows = np.arange(rows)
        _split(rows, _quantize, keys_values.contiguous().numpy(), self._numbers, self._scales)

    def attend(self, query: Tensor) -> Tensor:
        if query.shape[2] > LONGEST_STEP:
            return F.scaled_dot_product_attention(query, self._as_float(0), self._as_float(1))
        queries = query.contiguous().numpy()
        attended = np.empty_like(queries)
        parts = max(1, queries.shape[0] * queries.shape[1] // LEAST_ITEMS)
        _split(queries.shape[0] * queries.shape[1], _attend, queries, self._numbers, self._scales, self._rows, attended,
               parts=parts)  # fmt: skip
        return torch.from_numpy(attended)

    def keys_of(self, heads: Sequence[int]) -> Tensor:
        return self._as_float(0, heads)

    def keep(self, order: Sequence[int]) -> None:
        self._rows = self._rows[list(order)]

    def shared(self, rows: Sequence[int]) -> CompactCrossMemory:
        """Only which row is which is its own."""
        other = copy(self)
        other.keep(rows)
        return other

    def _as_float(self, kind: int, heads: Sequence[int] | None = None) -> Tensor:
        """Keys (0) or values (1), of some heads or all."""
        which = (self._rows, kind) if heads is None else (self._rows[:, None], kind, list(heads))
        return torch.from_numpy(self._numbers[which]) * torch.from_numpy(self._scales[which])[..., None]


@cache
def _threads(process: int, number: int) -> ThreadPoolExecutor:
    """Helpers of this process: a forked one has none of its parent's threads."""
    return ThreadPoolExecutor(number, "attention")


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
def _quantize(first: int, last: int, keys_values: Float32, numbers: Integers, scales: Float32) -> None:
    """Rows ``first`` to ``last`` to integers: see `CompactCrossMemory`."""
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
                        numbers[row, kind, head, position, i] = np.rint(keys_values[row, position, begin + i] * factor)


NEGLIGIBLE: Final = 17.0
"""Below the highest score by more than this, a position has less than 5e-8 of its weight and is passed over."""


@_jit
def _attend(
    first: int,
    last: int,
    queries: Float32,
    numbers: Integers,
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

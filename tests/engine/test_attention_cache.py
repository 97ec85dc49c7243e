from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from whisper_serve.engine.attention_cache import KeyValueCache, PlainCrossMemory, compact_order


@given(st.integers(1, 40).flatmap(lambda rows: st.sets(st.integers(0, rows - 1), min_size=1)))
def test_compaction_keeps_every_row_and_moves_few(alive: set[int]) -> None:
    order = compact_order(sorted(alive))
    assert sorted(order) == sorted(alive)
    moved = sum(row != source for row, source in enumerate(order))
    assert moved == sum(row >= len(alive) for row in alive)


def test_rows_move_with_all_their_keys_and_values() -> None:
    numbers = torch.arange(5.0)[:, None, None, None]
    features = torch.zeros(5, 3, 2)
    cross = [PlainCrossMemory(numbers.repeat(1, 1, 3, 2), 10 + numbers.repeat(1, 1, 3, 2)) for _ in range(2)]
    cache = KeyValueCache(cross, features, heads=1)
    cache.reserve(4)
    for layer in range(2):
        cache.self_keys[layer][:] = 20 + numbers
        cache.self_values[layer][:] = 30 + numbers
    cache.keep(compact_order([1, 2, 4]))
    assert cache.rows == 3
    for memory in cross:
        assert_rows(memory.keys, [4, 1, 2])
        assert_rows(memory.values, [14, 11, 12])
    for keys, values in zip(cache.self_keys, cache.self_values, strict=True):
        assert_rows(keys, [24, 21, 22])
        assert_rows(values, [34, 31, 32])


def assert_rows(tensor: torch.Tensor, expected: list[int]) -> None:
    assert [int(row.flatten()[0]) for row in tensor] == expected
    assert all(bool((row == row.flatten()[0]).all()) for row in tensor)

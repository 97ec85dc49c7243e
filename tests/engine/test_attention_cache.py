from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from whisper_serve.engine.attention_cache import KeyValueCache, compact_order


@given(st.integers(1, 40).flatmap(lambda rows: st.sets(st.integers(0, rows - 1), min_size=1)))
def test_compaction_keeps_every_row_and_moves_few(alive: set[int]) -> None:
    order = compact_order(sorted(alive))
    assert sorted(order) == sorted(alive)
    moved = sum(row != source for row, source in enumerate(order))
    assert moved == sum(row >= len(alive) for row in alive)


def test_rows_move_with_all_their_keys_and_values() -> None:
    cross = [torch.arange(5.0)[:, None, None, None].expand(5, 1, 3, 2).clone() for _ in range(2)]
    cache = KeyValueCache(
        [tensor.clone() for tensor in cross],
        [10 + tensor for tensor in cross],
    )
    cache.reserve(4)
    for layer in range(2):
        cache.self_keys[layer][:] = 20 + torch.arange(5.0)[:, None, None, None]
        cache.self_values[layer][:] = 30 + torch.arange(5.0)[:, None, None, None]
    cache.keep(compact_order([1, 2, 4]))
    assert cache.rows == 3
    for offset, tensors in ((0, cache.cross_keys), (10, cache.cross_values), (20, cache.self_keys)):
        for tensor in tensors:
            assert [int(row.flatten()[0]) - offset for row in tensor] == [4, 1, 2]
            assert all(bool((row == row.flatten()[0]).all()) for row in tensor)

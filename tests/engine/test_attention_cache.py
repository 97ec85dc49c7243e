from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import TINY
from whisper_serve.engine.attention_cache import KeyValueCache, PlainCrossMemory, StaticCache, compact_order


@given(st.integers(1, 40).flatmap(lambda rows: st.sets(st.integers(0, rows - 1), min_size=1)))
def test_compaction_keeps_every_row_and_moves_few(alive: set[int]) -> None:
    order = compact_order(sorted(alive))
    assert sorted(order) == sorted(alive)
    moved = sum(row != source for row, source in enumerate(order))
    assert moved == sum(row >= len(alive) for row in alive)


@given(
    st.integers(1, 40).flatmap(
        lambda rows: st.tuples(st.sets(st.integers(0, rows - 1), min_size=1), st.integers(0, rows)).map(
            lambda drawn: (drawn[0], max(len(drawn[0]), drawn[1]))
        )
    )
)
def test_finished_rows_that_stay_come_behind(drawn: tuple[set[int], int]) -> None:
    alive, room = drawn
    order = compact_order(sorted(alive), room)
    assert order[: len(alive)] == compact_order(sorted(alive))
    assert len(set(order)) == len(order) == room
    assert alive.isdisjoint(order[len(alive) :])


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


def test_static_memory_serves_one_batch_after_the_other() -> None:
    cache = StaticCache(TINY, 6, torch.float32, torch.device("cpu"))
    numbers = torch.arange(5.0)[:, None, None, None]
    audio = numbers.expand(5, 2, TINY.n_audio_ctx, 32)
    addresses = [keys.data_ptr() for keys in cache.self_keys]
    for _ in range(2):
        cache.fill(((audio + layer, 10 + audio + layer) for layer in range(TINY.n_text_layer)), 5)
        cache.reserve(1)
        assert [keys.data_ptr() for keys in cache.self_keys] == addresses
        assert all(not keys.any() for keys in cache.self_keys)
        for layer in range(TINY.n_text_layer):
            cache.self_keys[layer][:] = 20 + numbers
            cache.self_values[layer][:] = 30 + numbers
        cache.keep(compact_order([1, 2, 4]))
        for layer, memory in enumerate(cache.cross):
            assert isinstance(memory, PlainCrossMemory)
            assert_rows(memory.keys, [4 + layer, 1 + layer, 2 + layer])
            assert_rows(memory.values, [14 + layer, 11 + layer, 12 + layer])
            assert_rows(cache.self_keys[layer], [24, 21, 22])
            assert_rows(cache.self_values[layer], [34, 31, 32])
        cache.resize(6)
        assert cache.rows == len(cache.self_keys[0]) == 6


def assert_rows(tensor: torch.Tensor, expected: list[int]) -> None:
    assert [int(row.flatten()[0]) for row in tensor] == expected
    assert all(bool((row == row.flatten()[0]).all()) for row in tensor)

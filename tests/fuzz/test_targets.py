"""The targets of the fuzzer with its seeds, and with the same few mutations each time."""

from __future__ import annotations

import random
from typing import Final

import pytest

from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS

MUTATIONS: Final = 15
"""Of each seed."""


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_mutations_end_as_documented(name: str) -> None:
    chance = random.Random(0)
    for seed in SEEDS[name]():
        TARGETS[name](seed)
        for _ in range(MUTATIONS):
            TARGETS[name](mutated(seed, chance))


def test_each_target_has_seeds() -> None:
    assert TARGETS.keys() == SEEDS.keys()
    assert all(len(list(seeds())) >= 2 for seeds in SEEDS.values())


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """The seed with some bytes changed, a piece left out, or a piece twice."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    start = chance.randrange(len(data))
    piece = data[start : start + chance.randint(1, 100)]
    cut = chance.choice((b"", bytes(piece), bytes(piece) * 2))
    return bytes(data[:start] + cut + data[start + len(piece) :])

from __future__ import annotations

from itertools import pairwise

import pytest

from loadtest.errors import BadShape
from loadtest.shapes import SHAPES, SOAK_CYCLE, SOAK_REST

PEAK, TOTAL = 20, 100.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("steady", [20, 20, 20, 20, 20]),
        ("step", [4, 8, 12, 16, 20]),
        ("spike", [5, 5, 20, 5, 5]),
        ("soak", [20, 20, 20, 20, 0]),
        ("diurnal", [2, 13, 20, 13, 2]),
    ],
)
def test_users_of_each_fifth(name: str, expected: list[int]) -> None:
    shape = SHAPES[name](TOTAL, PEAK)
    assert [shape.users_at(seconds) for seconds in (10, 30, 50, 70, 90)] == expected


@pytest.mark.parametrize("name", sorted(SHAPES))
@pytest.mark.parametrize("peak", [1, 2, 7, 100])
def test_no_shape_leaves_its_limits(name: str, peak: int) -> None:
    shape = SHAPES[name](TOTAL, peak)
    users = [shape.users_at(seconds) for seconds in range(int(TOTAL) + 1)]
    assert min(users) >= (0 if name == "soak" else 1)
    assert max(users) == peak


def test_a_soak_begins_softly() -> None:
    shape = SHAPES["soak"](TOTAL, PEAK)
    assert [shape.users_at(seconds) for seconds in (0, 1, 2.5, 5)] == [1, 4, 10, 20]


def test_a_soak_rests_after_each_cycle() -> None:
    shape = SHAPES["soak"](10_000.0, PEAK)
    users = [shape.users_at(seconds) for seconds in range(1_000, 10_000)]
    assert set(users) == {0, PEAK}
    assert users.count(0) / len(users) == pytest.approx(SOAK_REST / SOAK_CYCLE, abs=0.01)
    rests = [first for first, (before, now) in enumerate(pairwise(users)) if before and not now]
    assert {later - earlier for earlier, later in pairwise(rests)} == {SOAK_CYCLE}


@pytest.mark.parametrize(("total", "peak"), [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (10, 0)])
def test_impossible_numbers_are_refused(total: float, peak: int) -> None:
    with pytest.raises(BadShape, match="a run "):
        SHAPES["steady"](total, peak)

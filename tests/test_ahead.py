"""Items that threads make ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from whisper_serve.ahead import Ahead


def test_items_come_in_their_order_and_then_what_ended_them() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("no more")

    with ThreadPoolExecutor(1) as pool:
        assert list(Ahead(pool, range(100), room=2)) == list(range(100))
        found: list[int] = []
        with pytest.raises(ValueError, match="no more"):
            found.extend(Ahead(pool, items(), room=2))


def test_no_more_are_made_than_there_is_room_for() -> None:
    made, waiting = [], threading.Event()

    def items() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            if number == 3:
                waiting.set()
            yield number

    with ThreadPoolExecutor(1) as pool:
        ahead = Ahead(pool, items(), room=3)
        assert waiting.wait(10)
        assert made == [0, 1, 2, 3], "three wait, and the fourth is held"
        assert list(ahead) == list(range(10))


def test_closing_frees_the_thread_of_what_nobody_takes() -> None:
    with ThreadPoolExecutor(1) as pool:
        endless, next_one = Ahead(pool, iter(int, 1), room=1), Ahead(pool, range(3), room=1)
        endless.close()
        assert list(next_one) == [0, 1, 2]
        endless.close()


def test_what_was_not_begun_is_not_begun_after_closing() -> None:
    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(begun.wait)
        unbegun = Ahead(pool, iter(begun.is_set, 2), room=1)
        unbegun.close()
        begun.set()
    assert unbegun._made.empty()

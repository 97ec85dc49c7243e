from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.gateway.standin import in_loop, until
from whisper_serve.gateway.live import turns
from whisper_serve.gateway.live.turns import FEW, SHORT, Turns
from whisper_serve.gateway.scheduler import Scheduler


class Queue:
    """Windows that have their turn until they are let go."""

    def __init__(self, addresses: int) -> None:
        self.scheduler = Scheduler(lambda: 64, 4)
        self.turns = Turns(self.scheduler, lambda: addresses)
        self.working: list[int] = []
        self.done: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    async def ask(self, *names: int) -> None:
        for name in names:
            self.tasks[name] = asyncio.create_task(self._work(name))
        await settle()

    async def _work(self, name: int) -> None:
        self.done[name] = asyncio.Event()
        async with self.turns.turn(), self.scheduler.lane().slot():
            self.working.append(name)
            await self.done[name].wait()
            self.working.remove(name)

    async def let_go(self, *names: int) -> None:
        for name in names:
            self.done[name].set()
        await settle()

    async def cancel(self, *names: int) -> None:
        for name in names:
            self.tasks[name].cancel()
            self.working = [each for each in self.working if each != name]
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def queue(addresses: int = 1) -> AsyncIterator[Queue]:
    it = Queue(addresses)
    try:
        yield it
    finally:
        for task in it.tasks.values():
            task.cancel()
        await asyncio.gather(*it.tasks.values(), return_exceptions=True)


@in_loop
async def test_few_windows_go_one_by_one() -> None:
    async with queue() as it:
        await it.ask(1, 2, 3)
        assert (it.working, it.turns.waiting) == ([1], 2)
        await it.let_go(1)
        assert it.working == [2]
        await it.let_go(2)
        assert (it.working, it.turns.waiting) == ([3], 0)


@in_loop
async def test_where_many_wait_they_go_together() -> None:
    async with queue() as it:
        many = list(range(3, 3 + FEW + SHORT))
        await it.ask(1, 2, *many)
        assert it.working == [1, 2]
        await it.let_go(1)
        assert it.working == [2, *many]
        await it.ask(90)
        await it.let_go(2, *many[1:])
        assert it.working == [3]  # their round is not over
        await it.let_go(3)
        assert it.working == [90]


@in_loop
async def test_where_some_wait_both_workers_have_work() -> None:
    async with queue() as it:
        await it.ask(1, 2, 3)
        assert it.working == [1]
        await it.ask(4)
        assert it.working == [1, 2]
        await it.let_go(1)
        assert it.working == [2]  # two are not many
        await it.let_go(2)
        assert it.working == [3]


@in_loop
async def test_more_addresses_have_more_in_work() -> None:
    async with queue(addresses=2) as it:
        await it.ask(1, 2, 3)
        assert it.working == [1, 2]


@in_loop
async def test_who_is_cancelled_leaves_the_queue_or_the_turn() -> None:
    async with queue() as it:
        await it.ask(1, 2, 3)
        await it.cancel(2)
        assert it.turns.waiting == 1
        await it.cancel(1)
        assert it.working == [3]
        await it.let_go(3)
        await it.ask(4)
        assert it.working == [4]


@in_loop
async def test_while_files_are_in_work_none_waits() -> None:
    async with queue() as it, it.scheduler.lane().slot():
        await it.ask(1, 2, 3)
        assert it.working == [1, 2, 3]


@in_loop
async def test_those_that_wait_go_on_once_there_is_a_file() -> None:
    async with queue() as it:
        await it.ask(1, 2, 3)
        assert it.working == [1]
        async with it.scheduler.lane().slot():
            await it.ask(4)
            assert sorted(it.working) == [1, 2, 3, 4]
        await it.ask(5)
        await it.let_go(1, 2, 3)
        assert it.working == [4]
        await it.let_go(4)
        assert it.working == [5]


def test_a_round_that_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.01)

    @in_loop
    async def check() -> None:
        async with queue() as it:
            await it.ask(1, 2)
            await until(lambda: it.working == [1, 2])
            await it.let_go(1, 2)
            monkeypatch.setattr(turns, "PATIENCE", 60)
            await it.ask(3, 4)
            assert it.working == [3]

    check()

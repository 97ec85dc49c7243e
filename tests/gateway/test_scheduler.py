"""Slots in turn between requests."""

from __future__ import annotations

import asyncio

from tests.gateway.standin import in_loop
from whisper_serve.gateway.scheduler import Lane, Scheduler


class Floor:
    """Workers that hold a slot until they are let go, in the order in which they got theirs."""

    def __init__(self, capacity: int, per_request: int) -> None:
        self.capacity = capacity
        self.scheduler = Scheduler(lambda: self.capacity, per_request)
        self.order: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}

    def ask(self, lane: Lane, name: str) -> asyncio.Task[None]:
        self._leave[name] = asyncio.Event()
        return asyncio.create_task(self._hold(lane, name))

    async def let_go(self, name: str) -> None:
        self._leave[name].set()
        await settle()

    async def _hold(self, lane: Lane, name: str) -> None:
        async with lane.slot():
            self.order.append(name)
            await self._leave[name].wait()


async def settle() -> None:
    """Let all that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


@in_loop
async def test_requests_take_turns() -> None:
    floor = Floor(capacity=1, per_request=10)
    long, short, middle = (floor.scheduler.lane() for _ in range(3))
    tasks = [floor.ask(long, f"long{number}") for number in range(4)]
    await settle()
    tasks += [floor.ask(short, "short0"), floor.ask(middle, "middle0"), floor.ask(middle, "middle1")]
    await settle()
    while len(floor.order) < len(tasks):
        await floor.let_go(floor.order[-1])
    assert floor.order == ["long0", "long1", "short0", "middle0", "long2", "middle1", "long3"]
    await floor.let_go(floor.order[-1])
    await asyncio.gather(*tasks)
    assert floor.scheduler.in_flight == 0


@in_loop
async def test_one_request_has_no_more_than_its_share() -> None:
    floor = Floor(capacity=10, per_request=2)
    first, second = floor.scheduler.lane(), floor.scheduler.lane()
    tasks = [floor.ask(first, f"first{number}") for number in range(5)]
    await settle()
    assert floor.order == ["first0", "first1"]
    tasks.append(floor.ask(second, "second0"))
    await settle()
    assert floor.order[2:] == ["second0"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@in_loop
async def test_the_next_round_begins_when_the_last_is_over() -> None:
    floor = Floor(capacity=10, per_request=2)
    lane = floor.scheduler.lane()
    tasks = [floor.ask(lane, "0")]
    await settle()
    tasks += [floor.ask(lane, str(number)) for number in (1, 2, 3, 4)]
    await settle()
    assert floor.order == ["0", "1"]
    await floor.let_go("0")
    assert floor.order == ["0", "1"]
    await floor.let_go("1")
    assert floor.order == ["0", "1", "2", "3"]
    for name in ("3", "2", "4"):
        await floor.let_go(name)
    await asyncio.gather(*tasks)


@in_loop
async def test_cancelled_windows_leave_the_queue_at_once() -> None:
    floor = Floor(capacity=1, per_request=4)
    gone, other = floor.scheduler.lane(), floor.scheduler.lane()
    tasks = [floor.ask(gone, f"gone{number}") for number in range(4)]
    await settle()
    waiting = floor.ask(other, "other0")
    await settle()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await settle()
    assert floor.order == ["gone0", "other0"]
    assert gone.waiting == gone.granted == 0
    await floor.let_go("other0")
    await waiting
    assert floor.scheduler.in_flight == 0


@in_loop
async def test_a_slot_granted_to_a_cancelled_window_goes_on_to_the_next() -> None:
    floor = Floor(capacity=0, per_request=4)
    lane = floor.scheduler.lane()
    first, second = floor.ask(lane, "first"), floor.ask(lane, "second")
    await settle()
    floor.capacity = 1
    floor.scheduler.wake()
    first.cancel()  # It has its slot, but has not run since.
    await settle()
    assert floor.order == ["second"]
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert floor.scheduler.in_flight == 0


@in_loop
async def test_more_capacity_is_dealt_out_when_told() -> None:
    floor = Floor(capacity=1, per_request=4)
    lane = floor.scheduler.lane()
    tasks = [floor.ask(lane, str(number)) for number in range(3)]
    await settle()
    floor.capacity = 3
    floor.scheduler.wake()
    await settle()
    assert floor.order == ["0", "1", "2"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@in_loop
async def test_waiting_is_measured() -> None:
    waits: list[float] = []
    scheduler = Scheduler(lambda: 1, 1, waits.append)
    first, second = scheduler.lane(), scheduler.lane()
    entered = asyncio.Event()

    async def enter() -> None:
        async with second.slot():
            entered.set()

    async with first.slot():
        entering = asyncio.create_task(enter())
        await asyncio.sleep(0.05)
        assert not entered.is_set()
    await entering
    assert len(waits) == 2
    assert waits[0] < 0.05 <= waits[1] < 5

from __future__ import annotations

import asyncio

import pytest

from whisper_serve.gateway.timing import within


def test_what_comes_in_time_is_given_back() -> None:
    async def run() -> None:
        assert await within(5, asyncio.sleep(0, "came")) == "came"
        with pytest.raises(KeyError):
            await within(5, fail())

    async def fail() -> None:
        raise KeyError

    asyncio.run(run())


def test_what_is_late_has_ended_when_that_is_told() -> None:
    ended = []

    async def late() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await within(0.01, late())
        assert ended

    asyncio.run(run())


def test_a_cancellation_is_not_lost_when_the_result_comes_with_it() -> None:
    async def run() -> None:
        coming = asyncio.get_running_loop().create_future()
        waiting = asyncio.ensure_future(within(5, coming))
        await asyncio.sleep(0)
        coming.set_result(None)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(run())

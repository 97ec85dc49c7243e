"""A file is let go whatever becomes of who decodes it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.gateway.standin import in_loop, until
from whisper_serve.gateway.decoder import Decoder

CLIP = Path(__file__).parents[1] / "data" / "en-jfk.mp3"


class GatedPool(ThreadPoolExecutor):
    """Steps wait until `gate` is open; `waiting` tells that one does, or did."""

    def __init__(self) -> None:
        super().__init__(1)
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()

    def submit(self, step: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        def gated() -> Any:
            self.waiting.set()
            self.gate.wait()
            return step(*arguments, **named)

        return super().submit(gated)


def is_open() -> bool:
    return str(CLIP) in [file.path for file in psutil.Process().open_files()]


@in_loop
@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_file_is_closed_after_the_step_that_runs(cancelled: bool) -> None:
    with GatedPool() as pool:
        decoder = Decoder(pool, CLIP, None, max_seconds=60, took=lambda *_: None)
        await decoder.open()
        assert is_open()
        pool.gate.clear()
        pool.waiting.clear()
        step = asyncio.create_task(decoder.next())
        await until(pool.waiting.is_set)
        step.cancel()
        closing = asyncio.create_task(decoder.close())
        await until(decoder._closed.is_set)
        if cancelled:
            closing.cancel()
            assert isinstance((await asyncio.gather(closing, return_exceptions=True))[0], asyncio.CancelledError)
        assert is_open()
        pool.gate.set()
        await until(lambda: not is_open())
        await asyncio.gather(closing, return_exceptions=True)

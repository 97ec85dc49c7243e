"""Waiting for something, but not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float, coming: Awaitable[T]) -> T:
    """What is awaited, which has ended when this returns or raises.

    Without asyncio.wait_for, which up to Python 3.11 may swallow a cancellation.

    Raises:
        TimeoutError: it did not come in time; it was cancelled.
    """
    task = asyncio.ensure_future(coming)
    task.add_done_callback(_seen)
    try:
        done, _ = await asyncio.wait({task}, timeout=max(seconds, 0.0))
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    if not done:
        raise TimeoutError(f"nothing came in {seconds:g} seconds")
    return task.result()


def _seen(task: asyncio.Future[T]) -> None:
    """An error that comes after a cancellation is nobody's, and not worth a line in the log."""
    if not task.cancelled():
        task.exception()

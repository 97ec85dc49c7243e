"""Items that threads make before somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from queue import Empty, Queue
from threading import Event
from typing import Final, Generic, TypeVar

T = TypeVar("T")

POLL_SECONDS: Final = 0.05


class Ahead(Generic[T]):
    """Goes through an iterable in a thread of an executor, and keeps what it gives until it is taken.

    Where several share an executor, those made first have to be taken first: the others may wait for its threads.
    """

    def __init__(self, executor: Executor, items: Iterable[T], room: int) -> None:
        """``room`` is how many items are made before the first of them is taken."""
        self._items = items
        self._made: Queue[tuple[T] | BaseException | None] = Queue(room)
        """Items; behind the last one the exception that ended them, or None."""
        self._stopped = Event()
        self._running = executor.submit(self._make)

    def __iter__(self) -> Iterator[T]:
        """The items, once. Raises what making them raised."""
        while (made := self._made.get()) is not None:
            if isinstance(made, BaseException):
                raise made
            yield made[0]

    def close(self) -> None:
        """Make no more, and wait until the thread has stopped; it ends within an item."""
        self._stopped.set()
        self._running.cancel()
        while not self._running.done():
            try:
                self._made.get(timeout=POLL_SECONDS)
            except Empty:
                continue

    def _make(self) -> None:
        try:
            for item in self._items:
                if self._stopped.is_set():
                    return
                self._made.put((item,))
            self._made.put(None)
        except BaseException as error:  # for whoever takes the items
            self._made.put(error)

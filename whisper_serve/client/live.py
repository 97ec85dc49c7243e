"""Live captions: audio goes out while it comes, and events come back, over a WebSocket or gRPC by the address.

>>> from whisper_serve.client.live import LiveSettings, listen
>>> for event in listen("ws://127.0.0.1:8000", chunks, LiveSettings(language="en")):        # doctest: +SKIP
...     if event.type == "final":
...         print(event.text)
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from urllib.parse import urlsplit

from whisper_serve.client.live_events import LiveEvent, LiveFailed, LiveSettings

__all__ = ["LiveEvent", "LiveFailed", "LiveSettings", "listen", "listen_async"]


async def listen_async(
    url: str, audio: AsyncIterator[bytes], settings: LiveSettings | None = None, *, key: str | None = None
) -> AsyncGenerator[LiveEvent, None]:
    """The events of a stream, of which `audio` are the chunks as they come; closing it early ends the stream.

    `url` is ws://host:port (or wss://) or grpc://host:port (or grpcs://); `key` an API key.

    Raises:
        LiveFailed: the server refused the stream, ended it with an error, or cannot be reached.
        Exception: what `audio` raised; that ends the stream, and comes after its last events.
    """
    scheme = urlsplit(url).scheme
    if scheme in ("ws", "wss"):
        from whisper_serve.client.live_websocket import events
    elif scheme in ("grpc", "grpcs"):
        from whisper_serve.client.live_grpc import events
    else:
        raise LiveFailed(f"the address must begin with ws://, wss://, grpc:// or grpcs://, not {url!r}")
    source = _Source(audio)
    async with aclosing(events(url, source.chunks(), settings or LiveSettings(), key)) as coming:
        async for event in coming:
            yield event
    if source.error:
        raise source.error


def listen(
    url: str, audio: Iterable[bytes], settings: LiveSettings | None = None, *, key: str | None = None
) -> Iterator[LiveEvent]:
    """As `listen_async`, for programs without an event loop: it runs in a thread, so that audio goes out meanwhile."""
    heard: queue.SimpleQueue[LiveEvent | BaseException | None] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async with aclosing(listen_async(url, _in_thread(audio), settings, key=key)) as events:
            async for event in events:
                heard.put(event)

    working = loop.create_task(run())
    thread = threading.Thread(target=_work, args=(loop, working, heard), name="live", daemon=True)
    thread.start()
    try:
        while (event := heard.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(working.cancel)
        thread.join()
        loop.close()


def _work(
    loop: asyncio.AbstractEventLoop,
    working: asyncio.Task[None],
    heard: queue.SimpleQueue[LiveEvent | BaseException | None],
) -> None:
    try:
        loop.run_until_complete(working)
        heard.put(None)
    except asyncio.CancelledError:
        heard.put(None)
    except BaseException as error:
        heard.put(error)
    finally:
        loop.run_until_complete(_cancel_all())
        loop.run_until_complete(loop.shutdown_asyncgens())


async def _cancel_all() -> None:
    """Other tasks: gRPC leaves the one behind that takes audio from a source which has not ended."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class _Source:
    """Audio that ends when something goes wrong with it; `error` is what."""

    def __init__(self, audio: AsyncIterator[bytes]) -> None:
        self._audio = audio
        self.error: Exception | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._audio:
                yield chunk
        except Exception as error:
            self.error = error


async def _in_thread(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Chunks of which each may be long in coming."""
    coming = iter(chunks)
    while (chunk := await asyncio.to_thread(next, coming, None)) is not None:
        yield chunk

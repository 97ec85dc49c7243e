"""What one client may be sending: refused before it is read, or as it comes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.gateway.deterministic import Served, serve
from tests.gateway.rpc_calls import chunks, failure, stub_of
from tests.gateway.test_abuse import END, FILE, FORM, PATH, connected, head, part, read_answer
from tests.gateway.test_app import metrics_of, wait_until
from whisper_serve.gateway.arrivals import Arrivals
from whisper_serve.gateway.failures import Overloaded
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.speech_v1 import speech_pb2

MIB = 1024**2


def arrivals(**changes: Any) -> Arrivals:
    return Arrivals(GatewaySettings(**{"max_requests_per_client": 2, "max_bytes_per_client": 100, **changes}))


def test_a_client_may_send_so_many_files_at_once() -> None:
    it = arrivals()
    with it.upload("a"), it.upload("b"):
        with it.upload("a"), pytest.raises(Overloaded) as caught, it.upload("a"):
            pass
        assert caught.value.code == "too_many_requests"
        with it.upload("a"):
            pass


def test_what_a_client_announces_counts_at_once() -> None:
    it = arrivals()
    with it.upload("a", 60), it.upload("b", 60):
        with pytest.raises(Overloaded) as caught, it.upload("a", 41):
            pass
        assert caught.value.code == "too_many_bytes"
        with it.upload("a", 40):
            pass


def test_a_file_alone_may_be_larger_than_what_a_client_may_send() -> None:
    with arrivals().upload("a", 1000):
        pass


def test_what_was_not_announced_counts_as_it_comes() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield bytes(20)

    async def receive() -> int:
        it, received = arrivals(), 0
        with it.upload("a", 50), it.upload("a") as arrival:
            try:
                async for piece in arrival.counted(pieces(), len):
                    received += len(piece)
            except Overloaded:
                return received
        raise AssertionError("all of it came")

    assert asyncio.run(receive()) == 40


@pytest.fixture
def served() -> Iterator[Served]:
    with serve(max_requests_per_client=3, max_bytes_per_client=2 * MIB, spool_memory_bytes=1000) as running:
        yield running


def test_slow_uploads_of_one_client_do_not_fill_the_disk(served: Served) -> None:
    with ExitStack() as stack:
        for number in range(2):
            slow = stack.enter_context(connected(served))
            slow.sendall(head(f"Content-Length: {MIB}") + FILE)
            wait_until(lambda: len(served.server.server_state.tasks) > number)  # noqa: B023
        one_more = stack.enter_context(connected(served))
        one_more.sendall(head(f"Content-Length: {MIB}") + FILE)
        status, error = read_answer(one_more)
        assert (status, error["code"]) == (429, "too_many_bytes")
        assert not served.pipeline.works
    # What was given up counts no more.
    body = part('; name="file"; filename="a"', b"audio" + bytes(MIB)) + END

    def is_taken() -> bool:
        return httpx.post(served.url + PATH, content=body, headers=FORM, trust_env=False).status_code == 200

    wait_until(is_taken)


def test_files_in_chunks_count_while_they_come(served: Served) -> None:
    held = threading.Event()

    def slow() -> Iterator[speech_pb2.TranscribeChunksRequest]:
        yield from chunks(b"audio", bytes(2 * MIB))
        held.wait(20)

    with stub_of(served.grpc) as stub:
        running = stub.TranscribeChunks.future(slow())
        wait_until(lambda: "whisper_gateway_spool_bytes 2.097157e+06" in metrics_of(served))
        assert "too many bytes of yours" in failure(lambda: stub.TranscribeChunks(chunks(b"audio"))).details()
        held.set()
        assert running.result(20).transcription.text
        assert stub.TranscribeChunks(chunks(b"audio")).transcription.text

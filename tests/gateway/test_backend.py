"""Sending windows to real gRPC servers that fail as TorchServe does."""

from __future__ import annotations

import asyncio
import socket

import grpc
import grpc.aio
import numpy as np
import pytest

from tests.gateway.standin import (
    DIED,
    FAILED,
    FULL,
    KILLED,
    Cluster,
    Failure,
    Received,
    backend,
    cluster,
    in_loop,
    text_of,
    until,
)
from whisper_serve.gateway.addresses import resolve_host
from whisper_serve.gateway.failures import BackendUnavailable, DeadlineExceeded, PoisonWindow, Refused
from whisper_serve.gateway.faults import Fault, read_fault
from whisper_serve.speech import SAMPLE_RATE, WindowTranscript
from whisper_serve.wire import ErrorReply, WindowOptions, pack_window


async def send(it: Cluster, *, samples: int = SAMPLE_RATE, seconds: float = 20.0) -> WindowTranscript:
    """Send a window of so many samples, to be answered within `seconds`."""
    message = pack_window(np.zeros(samples, np.float32), WindowOptions())
    deadline = asyncio.get_running_loop().time() + seconds
    return await it.backend.send(message, span=(10.0, 10.0 + samples / SAMPLE_RATE), deadline=deadline)


def is_poison(received: Received) -> bool:
    return len(received.audio) == 2 * SAMPLE_RATE


@in_loop
async def test_a_window_is_answered() -> None:
    async with backend() as it:
        assert (await send(it)).text == text_of(SAMPLE_RATE)
        assert it.log.sent == [1.0]
        assert it.log.retried == it.log.failed == []


@in_loop
async def test_windows_are_spread_over_all_addresses() -> None:
    async with backend(3) as it:
        for server in it.servers:
            server.seconds = 0.2
        await asyncio.gather(*(send(it) for _ in range(9)))
        assert [len(server.received) for server in it.servers] == [3, 3, 3]


@pytest.mark.parametrize("failure", [DIED, KILLED, FULL, FAILED], ids=["died", "killed", "full", "failed"])
@in_loop
async def test_a_failed_window_goes_to_another_address(failure: Failure) -> None:
    async with backend(2) as it:
        for _ in range(4):  # Which is first is by chance.
            it.servers[0].failures.append(failure)
            it.servers[1].failures.append(failure)
            before = [len(server.received) for server in it.servers]
            await until(lambda: it.backend.ready_addresses == 2)
            first = asyncio.create_task(send(it))
            await until(lambda counts=before: [len(s.received) for s in it.servers] != counts)  # type: ignore[misc]
            failed = 0 if len(it.servers[0].received) > before[0] else 1
            it.servers[1 - failed].failures.clear()
            assert (await first).text == text_of(SAMPLE_RATE)
            assert [len(server.received) - count for server, count in zip(it.servers, before, strict=True)] == [1, 1]
        assert len(it.log.retried) == 4


@in_loop
async def test_a_full_queue_is_waited_for() -> None:
    async with backend() as it:
        it.servers[0].failures.extend([FULL] * 6)
        assert (await send(it)).text == text_of(SAMPLE_RATE)
        assert it.log.retried == ["queue_full"] * 6


@pytest.mark.parametrize("failure", [DIED, KILLED], ids=["died", "killed"])
@in_loop
async def test_a_window_is_sent_again_after_one_death(failure: Failure) -> None:
    async with backend() as it:
        it.servers[0].failures.append(failure)
        assert (await send(it)).text == text_of(SAMPLE_RATE)
        assert it.log.retried == ["worker_died"]


@in_loop
async def test_a_window_that_ends_two_workers_is_poison_and_never_sent_a_third_time() -> None:
    async with backend(2) as it:
        for server in it.servers:
            server.poison = is_poison
        with pytest.raises(PoisonWindow) as caught:
            await send(it, samples=2 * SAMPLE_RATE)
        assert (caught.value.start, caught.value.end) == (10.0, 12.0)
        assert [len(server.received) for server in it.servers] == [1, 1]
        await asyncio.sleep(0.5)
        assert len(it.received) == 2
        assert it.log.failed == ["worker_died"]


@pytest.mark.parametrize("addresses", [1, 2])
@in_loop
async def test_poison_takes_no_other_window_with_it(addresses: int) -> None:
    async with backend(addresses) as it:
        for server in it.servers:
            server.poison = is_poison
            server.delay = lambda received: 0.1 if is_poison(received) else 0.2
        innocent = [send(it) for _ in range(6)]
        poison = [send(it, samples=2 * SAMPLE_RATE) for _ in range(2)]
        results = await asyncio.gather(*innocent, *poison, return_exceptions=True)
        assert all(isinstance(result, WindowTranscript) for result in results[:6])
        assert all(isinstance(result, PoisonWindow) for result in results[6:])
        assert sum(is_poison(received) for received in it.received) == 4
        assert it.log.retried.count("worker_died") > 2


@in_loop
async def test_a_window_under_suspicion_is_sent_alone() -> None:
    async with backend() as it:
        server = it.servers[0]
        server.seconds = 0.1
        server.failures.extend([KILLED] * 4)
        await asyncio.gather(*(send(it) for _ in range(4)))
        assert [received.company for received in server.received[4:]] == [0, 0, 0, 0]
        await asyncio.gather(*(send(it) for _ in range(4)))
        assert max(received.company for received in server.received[8:]) == 3


@in_loop
async def test_a_server_that_goes_away_does_not_count_against_the_window() -> None:
    async with backend() as it:
        server = it.servers[0]
        server.open.clear()
        sending = asyncio.create_task(send(it))
        for times in range(3):
            await until(lambda count=times: len(server.received) == count + 1)  # type: ignore[misc]
            await server.stop()
            await until(lambda: not it.backend.ready)
            await server.start()
        server.open.set()
        assert (await sending).text == text_of(SAMPLE_RATE)
        assert it.log.retried == ["address_gone"] * 3


@in_loop
async def test_windows_wait_while_nothing_answers_and_are_given_up_in_the_end() -> None:
    async with backend(hold_seconds=0.3) as it:
        await it.servers[0].stop()
        with pytest.raises(BackendUnavailable):
            await send(it)
        assert it.log.failed == ["unavailable"]


@in_loop
async def test_a_refused_window_is_not_sent_again() -> None:
    async with backend() as it:
        reply = ErrorReply(
            400, "the model knows no such language", "invalid_request_error", "language", "invalid_value"
        )
        it.servers[0].failures.append(reply)
        with pytest.raises(Refused, match="no such language") as caught:
            await send(it)
        assert (caught.value.status, caught.value.param) == (400, "language")
        assert len(it.received) == 1


@pytest.mark.parametrize("failure", [FAILED, ErrorReply(500, "failed", "server_error")], ids=["call", "reply"])
@in_loop
async def test_a_window_that_keeps_failing_is_given_up(failure: Failure | ErrorReply) -> None:
    async with backend(2) as it:
        for server in it.servers:
            server.failures.extend([failure] * 9)
        with pytest.raises(BackendUnavailable):
            await send(it)
        assert len(it.received) == 3
        assert it.log.failed == ["failed"]


@in_loop
async def test_a_window_that_gets_no_answer_is_sent_elsewhere() -> None:
    async with backend(2, window_timeout=0.3) as it:
        for server in it.servers:
            server.open.clear()
        sending = asyncio.create_task(send(it))
        await until(lambda: len(it.received) == 1)
        stuck = next(server for server in it.servers if server.received)
        other = next(server for server in it.servers if server is not stuck)
        other.open.set()
        assert (await sending).text == text_of(SAMPLE_RATE)
        assert it.log.retried == ["timeout"]


@pytest.mark.parametrize(
    ("code", "details", "fault"),
    [
        (grpc.StatusCode.INTERNAL, "Worker died.", Fault.WORKER_DIED),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Worker died.", Fault.WORKER_DIED),
        (FULL[0], FULL[1], Fault.QUEUE_FULL),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", Fault.ADDRESS_GONE),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2", Fault.ADDRESS_GONE),
        (grpc.StatusCode.NOT_FOUND, "Model not found: whisper", Fault.ADDRESS_GONE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Stream removed (Deadline Exceeded)", Fault.TIMEOUT),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "message larger than max", Fault.FAILED),
    ],
)
def test_faults_are_told_apart(code: grpc.StatusCode, details: str, fault: Fault) -> None:
    none = grpc.aio.Metadata()
    assert read_fault(grpc.aio.AioRpcError(code, none, none, details, None)).fault is fault


@in_loop
async def test_the_deadline_ends_every_kind_of_waiting() -> None:
    async with backend() as it:
        it.servers[0].open.clear()
        with pytest.raises(DeadlineExceeded):
            await send(it, seconds=0.2)
        it.servers[0].failures.extend([FULL] * 99)
        with pytest.raises(DeadlineExceeded):
            await send(it, seconds=0.3)
        await it.servers[0].stop()
        with pytest.raises(DeadlineExceeded):
            await send(it, seconds=0.2)


@in_loop
async def test_a_cancelled_window_is_not_sent_again() -> None:
    async with backend() as it:
        it.servers[0].failures.extend([FULL] * 99)
        sending = asyncio.create_task(send(it))
        await until(lambda: len(it.received) > 1)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        count = len(it.received)
        await asyncio.sleep(0.5)
        assert len(it.received) == count


@in_loop
async def test_a_new_address_is_noticed_and_a_vanished_one_gets_nothing_more() -> None:
    async with backend(2) as it:
        first, second = it.servers
        it.targets.remove(second.target)
        await until(lambda: it.backend.ready_addresses == 1)
        await asyncio.gather(*(send(it) for _ in range(4)))
        assert (len(first.received), len(second.received)) == (4, 0)
        it.targets.add(second.target)
        await until(lambda: it.backend.ready_addresses == 2)
        it.targets.remove(first.target)
        await until(lambda: it.backend.ready_addresses == 1)
        await send(it)
        assert (len(first.received), len(second.received)) == (4, 1)


@in_loop
async def test_a_vanished_address_may_finish_what_it_has() -> None:
    async with backend(2) as it:
        for server in it.servers:
            server.open.clear()
        sending = asyncio.create_task(send(it))
        await until(lambda: len(it.received) == 1)
        leaving = next(server for server in it.servers if server.received)
        it.targets.remove(leaving.target)
        await until(lambda: it.backend.ready_addresses == 1)
        leaving.open.set()
        assert (await sending).text == text_of(SAMPLE_RATE)
        assert it.log.sent == [1.0]


@in_loop
async def test_a_name_that_cannot_be_resolved_any_more_keeps_its_addresses() -> None:
    async with backend() as it:
        targets, it.targets = it.targets, set()
        await asyncio.sleep(0.2)
        assert (await send(it)).text == text_of(SAMPLE_RATE)
        it.targets = targets


@in_loop
async def test_ready_means_that_a_window_was_answered() -> None:
    async with cluster() as it:
        server = it.servers[0]
        server.refuses_probes = FULL
        await it.backend.start()
        await until(lambda: server.probes > 2)
        assert not await it.backend.wait_ready(0.05)
        server.refuses_probes = None
        assert await it.backend.wait_ready(5)
        await it.backend.close()


@in_loop
async def test_a_dead_worker_makes_its_address_not_ready_until_it_answers_again() -> None:
    async with backend() as it:
        server = it.servers[0]
        server.failures.append(KILLED)
        server.refuses_probes = FULL
        sending = asyncio.create_task(send(it))
        await until(lambda: not it.backend.ready)
        await asyncio.sleep(0.2)
        assert len(server.received) == 1
        server.refuses_probes = None
        await sending
        assert it.backend.ready


@in_loop
async def test_a_server_that_starts_late_is_found() -> None:
    async with cluster() as it:
        server = it.servers[0]
        await server.stop()
        await it.backend.start()
        assert not await it.backend.wait_ready(0.3)
        await server.start()
        assert await it.backend.wait_ready(5)
        await it.backend.close()


@in_loop
async def test_without_pods_no_address_is_kept_that_another_model_may_get() -> None:
    async with backend(2) as it:
        gone, there = it.servers
        await gone.stop()
        await until(lambda: it.backend.ready_addresses == 1)
        it.unresolved = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        await asyncio.sleep(0.2)
        assert it.log.known == (2, 1)
        it.unresolved = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        await until(lambda: it.log.known == (1, 1))
        assert (await send(it)).text == text_of(SAMPLE_RATE)
        await there.stop()
        await until(lambda: it.log.known == (0, 0))
        await gone.start()
        await asyncio.sleep(0.3)
        assert it.log.known == (0, 0)
        it.unresolved = None
        await until(lambda: it.log.known == (2, 1))


@in_loop
async def test_hosts_are_resolved_to_what_grpc_takes() -> None:
    assert await resolve_host("127.0.0.1:7070") == {"ipv4:127.0.0.1:7070"}
    assert await resolve_host("[::1]:7070") == {"ipv6:[::1]:7070"}
    assert "ipv4:127.0.0.1:7070" in await resolve_host("localhost:7070")
    with pytest.raises(socket.gaierror):
        await resolve_host("no-such-host.invalid:7070")

"""Clients that are slow, break off, or go away, beside others that want their answers."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Final

import psutil
import pytest

from tests.chaos.load import Clip
from tests.chaos.trial import GATEWAY, Lab
from tests.e2e.stack import Stack, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

CLIENTS: Final = 30
TRICKLE_SECONDS: Final = 10
PATH: Final = "/v1/audio/transcriptions"


@pytest.fixture
def sockets(stack: Stack) -> Iterator[None]:
    """At the end the gateway has let go of all connections and files that were opened meanwhile."""
    gateway = stack.descendant(GATEWAY)
    before = descriptors(gateway)
    yield
    wait_until(lambda: descriptors(gateway) <= before + 3, 60)  # those to TorchServe, and of the test itself


@pytest.mark.usefixtures("sockets")
def test_uploads_that_trickle(lab: Lab, stack: Stack) -> None:
    def trickle() -> None:
        with ExitStack() as opened:
            clients = [opened.enter_context(begun(stack, lab.clips[0])) for _ in range(CLIENTS)]
            until = time.monotonic() + TRICKLE_SECONDS
            while time.monotonic() < until:
                for client in clients:
                    client.sendall(b"x")
                time.sleep(0.2)

    lab.trial(f"{CLIENTS} uploads of five bytes a second, then left", stack, trickle)


@pytest.mark.usefixtures("sockets")
def test_connections_closed_for_sending(lab: Lab, stack: Stack) -> None:
    def close_halves() -> None:
        with ExitStack() as opened:
            clients = [opened.enter_context(begun(stack, lab.clips[0])) for _ in range(CLIENTS)]
            for client in clients:
                client.shutdown(socket.SHUT_WR)
            for client in clients:
                while client.recv(65536):
                    """Whatever is said, the connection ends."""

    lab.trial(f"{CLIENTS} connections closed for sending in an upload", stack, close_halves)


@pytest.mark.usefixtures("sockets")
def test_connections_reset_in_an_answer(lab: Lab, stack: Stack) -> None:
    def reset() -> None:
        for _ in range(10):
            with closing(connected(stack)) as client:
                client.sendall(form(lab.clips[0], stream="true"))
                assert client.recv(12).startswith(b"HTTP/1.1 200")
                # Closing without lingering sends a reset.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    lab.trial("10 connections reset in an answer", stack, reset)


@pytest.mark.usefixtures("sockets")
def test_connections_reset_while_they_wait(lab: Lab, stack: Stack) -> None:
    def reset() -> None:
        clients = [connected(stack) for _ in range(CLIENTS)]
        for number, client in enumerate(clients):
            client.sendall(form(lab.clips[number % len(lab.clips)]))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for client in clients:
            client.close()

    lab.trial(f"{CLIENTS} connections reset behind their request", stack, reset)


def connected(stack: Stack) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(stack.url.rsplit(":", 1)[1])), timeout=60)


def begun(stack: Stack, clip: Clip) -> socket.socket:
    """A connection on which the first half of a request was sent."""
    client = connected(stack)
    request = form(clip)
    client.sendall(request[: len(request) // 2])
    return client


def form(clip: Clip, **fields: str) -> bytes:
    """A whole request."""
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    ]
    parts.append('--b\r\nContent-Disposition: form-data; name="file"; filename="clip"\r\n\r\n')
    body = "".join(parts).encode() + clip.content + b"\r\n--b--\r\n"
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def descriptors(process: psutil.Process) -> int:
    return int(process.num_fds())

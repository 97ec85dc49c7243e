"""The addresses behind TorchServe's host name, each with its own connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import grpc.aio

from whisper_serve.gateway.changes import Changes
from whisper_serve.gateway.faults import AttemptFailed, Fault, read_fault
from whisper_serve.torchserve import inference_pb2, inference_pb2_grpc

WINDOW_KEY: Final = "window"
"""The handler finds a window message under this key."""

NO_HEADERS: Final[Mapping[str, str]] = {}
Resolve = Callable[[str], Awaitable[frozenset[str]]]
"""From ``host:port`` to the addresses behind it, as gRPC takes them. Raises OSError."""

_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),
    # A dead node sends no reset. But three pings with no answer to a window between them are an attack to TorchServe's
    # gRPC, which then closes the connection: as many as that do not fit into a window's timeout.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A server that comes back is found at once, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Own connections, also where two channels have the same address one after the other.
    ("grpc.use_local_subchannel_pool", 1),
)


async def resolve_host(target: str) -> frozenset[str]:
    """All addresses of ``host:port`` (an IPv6 host in brackets)."""
    host, _, port = target.rpartition(":")
    found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    return frozenset(_grpc_target(family, str(address[0]), int(port)) for family, _, _, _, address in found)


def _grpc_target(family: int, ip: str, port: int) -> str:
    return f"ipv6:[{ip}]:{port}" if family == socket.AF_INET6 else f"ipv4:{ip}:{port}"


class Address:
    """One TorchServe: its connection, how much of ours it works on, and whether it answers."""

    def __init__(self, target: str, model: str) -> None:
        self.name = target
        self.ready = False
        self.in_flight = 0
        """Windows there, or waiting to go there."""
        self.retired = False
        self._model = model
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._stub: Any = inference_pb2_grpc.InferenceAPIsServiceStub(self._channel)
        self._changes = Changes()
        self._inside = 0
        self._loners = 0
        self._alone = False

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return bool(self._channel.get_state() is grpc.ChannelConnectivity.READY)

    async def predict(self, message: bytes, timeout: float, headers: Mapping[str, str] = NO_HEADERS) -> bytes:
        """The answer to a window message within `timeout` seconds; `headers` go along.

        Raises:
            AttemptFailed: there was none.
        """
        request = inference_pb2.PredictionsRequest(model_name=self._model, input={WINDOW_KEY: message})
        try:
            answer = await self._stub.Predictions(request, timeout=timeout, metadata=tuple(headers.items()))
        except grpc.aio.AioRpcError as error:
            raise read_fault(error) from error
        return bytes(answer.prediction)

    @asynccontextmanager
    async def entered(self, *, alone: bool) -> AsyncIterator[None]:
        """Be at this address beside others, or `alone`: as the only one that was sent from here.

        Raises:
            AttemptFailed: the address vanished meanwhile.
        """
        self.in_flight += 1
        try:
            await self._enter(alone)
            if self.retired:
                self._leave(alone)
                raise AttemptFailed(Fault.ADDRESS_GONE, f"{self.name} is not one of the host's addresses any more")
            try:
                yield
            finally:
                self._leave(alone)
        finally:
            self.in_flight -= 1
            self._changes.tell()

    async def retire(self) -> None:
        """Take nothing new, let what is there finish, and close the connection."""
        self.retired = True
        self._changes.tell()
        try:
            await self._changes.until(lambda: not self.in_flight)
        finally:
            await self.close()

    async def close(self) -> None:
        await self._channel.close(None)

    async def _enter(self, alone: bool) -> None:
        self._loners += alone
        try:
            await self._changes.until(lambda: self.retired or self._is_open(alone))
        finally:
            self._loners -= alone
            self._changes.tell()
        self._inside += 1
        self._alone = alone

    def _is_open(self, alone: bool) -> bool:
        if alone:
            return not self._inside
        return not self._alone and not self._loners

    def _leave(self, alone: bool) -> None:
        self._inside -= 1
        if alone:
            self._alone = False

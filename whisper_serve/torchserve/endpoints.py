"""The addresses TorchServe listens on."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from typing import Any

from whisper_serve.torchserve.errors import PortsBusy

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104  Only compared with.


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Hosts and five ports; the defaults are TorchServe's own.

    `host` is where inference (REST and gRPC) is offered. Management and metrics listen on `admin_host`:
    whoever reaches the management port can load code into the server, so it stays on this machine unless
    asked otherwise. `metrics_host` gives metrics an address of their own.
    """

    host: str = LOOPBACK
    admin_host: str = LOOPBACK
    inference: int = 8080
    management: int = 8081
    metrics: int = 8082
    grpc: int = 7070
    grpc_management: int = 7071
    metrics_host: str | None = None

    @property
    def inference_url(self) -> str:
        """The REST address as a client on this machine uses it."""
        return f"http://{reachable(self.host)}:{self.inference}"

    @property
    def management_url(self) -> str:
        return f"http://{reachable(self.admin_host)}:{self.management}"

    @property
    def metrics_url(self) -> str:
        return f"http://{reachable(self.metrics_address)}:{self.metrics}/metrics"

    @property
    def metrics_address(self) -> str:
        """Where metrics listen."""
        return self.admin_host if self.metrics_host is None else self.metrics_host

    @property
    def grpc_target(self) -> str:
        """The gRPC address as a client on this machine uses it."""
        return f"{reachable(self.host)}:{self.grpc}"

    def ports(self) -> dict[str, int]:
        """Each port under its name, in the order of the fields."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.type == "int"}

    def require_free(self) -> None:
        """Raise PortsBusy when two ports are the same or a program listens on one of them."""
        ports = self.ports()
        if len(set(ports.values())) < len(ports):
            raise PortsBusy(f"Each port must be another one, but these were asked for: {_listing(ports)}.")
        busy = {name: port for name, port in ports.items() if not is_free(self._host_of(name), port)}
        if busy:
            raise PortsBusy(
                f"Another program already listens on the port for {_listing(busy)}: stop it or choose other ports."
            )

    def _host_of(self, port_name: str) -> str:
        if port_name == "metrics":
            return self.metrics_address
        return self.host if port_name in ("inference", "grpc") else self.admin_host


def on_free_ports(host: str = LOOPBACK) -> Endpoints:
    """Endpoints on five ports that were free a moment ago."""
    endpoints = Endpoints(host=host)
    with ExitStack() as stack:
        sockets = {name: stack.enter_context(socket.socket()) for name in endpoints.ports()}
        for each in sockets.values():
            each.bind((host, 0))
        return replace(endpoints, **{name: each.getsockname()[1] for name, each in sockets.items()})


def reachable(host: str) -> str:
    """The host a client on this machine connects to: loopback for a server that listens everywhere."""
    return LOOPBACK if host == EVERYWHERE else host


def _listing(ports: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} ({port})" for name, port in ports.items())


def is_free(host: str, port: int) -> bool:
    """Whether nothing listens on the port, at any of the host's addresses; False too where it has none here."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return False
    states = [_state(socket.AddressFamily(family), address) for family, _, _, _, address in found]
    # A name may have an address of a kind that this machine does not speak.
    return 0 in states and set(states) <= {0, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def _state(family: socket.AddressFamily, address: Any) -> int:
    """0 where a server could listen, else the number of the error."""
    try:
        with socket.socket(family) as probe:
            # As servers do: a port whose last connections are only waiting to be forgotten counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
    except OSError as error:
        return error.errno or errno.EINVAL
    return 0

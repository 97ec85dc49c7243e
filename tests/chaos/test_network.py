"""TorchServe elsewhere: its name gets another address, and the way to it loses packets or is cut."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.chaos.link import HERE, NAMESPACE, THERE, Link
from tests.chaos.trial import Lab
from tests.e2e.stack import Gateway, Stack, is_ready, run_gateway, running, serve_command, wait_until
from whisper_serve.torchserve.endpoints import Endpoints, on_free_ports

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

NAME: Final = "torchserve.test"
MAPPED: Final = "::ffff:"
"""Before an IPv4 address where gRPC uses it by way of IPv6."""
OWN_HOSTS: Final = 'mount --bind "$0" /etc/hosts && exec "$@"'
"""For a shell in a mount namespace of its own: with another file of hosts."""


@pytest.fixture(scope="module")
def link(root: None) -> Iterator[Link]:
    try:
        with Link() as made:
            yield made
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network of its own can be made here: {error}")


@pytest.fixture(scope="module")
def elsewhere(link: Link, archive: Path, stack: Stack) -> Iterator[Endpoints]:
    """A second TorchServe, at the link's end on this machine; its gRPC port is that of the first."""
    endpoints = on_free_ports()
    command = serve_command(archive.parent, endpoints)
    command[command.index("--grpc-port") + 1] = str(stack.endpoints.grpc)
    with running([*command, "--host", HERE, "--workers", "1", "--no-gateway"], {}):
        yield endpoints


def test_another_address(lab: Lab, stack: Stack, elsewhere: Endpoints, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 {NAME}\n")
    own_hosts = ["unshare", "--mount", "sh", "-c", OWN_HOSTS, str(hosts)]
    with run_gateway(f"{NAME}:{stack.endpoints.grpc}", prefix=own_hosts) as gateway:
        wait_until(lambda: is_ready(gateway), 60)

        def move() -> None:
            hosts.write_text(f"{HERE} {NAME}\n")

        followed = partial(asks_only, gateway, HERE, stack.endpoints.grpc)
        lab.trial("TorchServe's name gets another address", gateway, move, whole=followed)


@pytest.mark.parametrize(
    ("name", "loss", "delay", "seconds"),
    [("5 % of packets lost, the others 50 ms late, for 20 s", 0.05, 0.05, 20), ("the network cut for 10 s", 1, 0, 10)],
)
def test_a_bad_network(
    lab: Lab, stack: Stack, elsewhere: Endpoints, link: Link, name: str, loss: float, delay: float, seconds: float
) -> None:
    inside = ["ip", "netns", "exec", NAMESPACE]
    with run_gateway(f"{HERE}:{stack.endpoints.grpc}", prefix=inside, host=THERE) as gateway:
        wait_until(lambda: is_ready(gateway), 120)
        before = link.dropped
        lab.trial(name, gateway, partial(disturb, link, loss, delay, seconds))
        assert link.dropped > before


def disturb(link: Link, loss: float, delay: float, seconds: float) -> None:
    link.loss, link.delay = loss, delay
    time.sleep(seconds)
    link.loss = link.delay = 0.0


def asks_only(gateway: Gateway, host: str, port: int) -> bool:
    """Whether all connections of the gateway to that port go to that host."""
    connections = psutil.Process(gateway.pid).net_connections("tcp")
    return {each.raddr.ip.removeprefix(MAPPED) for each in connections if each.raddr and each.raddr.port == port} == {
        host
    }

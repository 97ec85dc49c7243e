"""The gateway beside TorchServe, here with nothing behind it: starts, deaths and ends."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import httpx
import psutil
import pytest

from whisper_serve.serving import gateway_keeper
from whisper_serve.serving.gateway_keeper import GatewayKeeper
from whisper_serve.serving.gateway_process import GatewayConfig
from whisper_serve.torchserve.errors import PortsBusy, ServerFailed


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def alive(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def gateways() -> list[psutil.Process]:
    """The gateways that this process started and that still run."""
    children = psutil.Process().children()
    return [each for each in children if each.status() != psutil.STATUS_ZOMBIE and "gateway" in each.cmdline()]


@pytest.fixture
def config() -> GatewayConfig:
    return GatewayConfig(f"127.0.0.1:{free_port()}", port=free_port(), drain_seconds=5)


def test_it_starts_again_after_a_death_and_ends_with_its_keeper(config: GatewayConfig) -> None:
    said: list[str] = []
    with GatewayKeeper(config, said.append) as keeper:
        wait_until(lambda: alive(config.url))
        assert not keeper.ready, "no model is behind it"
        [process] = gateways()
        assert os.getsid(process.pid) == process.pid
        process.kill()
        wait_until(lambda: said == ["The gateway died (SIGKILL). Starting it again in 1 s."])
        wait_until(lambda: alive(config.url))
        keeper.check()
    assert gateways() == []
    assert not alive(config.url)


@pytest.mark.parametrize("host", ["::1", "::"])
def test_it_listens_on_addresses_of_both_kinds(config: GatewayConfig, host: str) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine does not speak IPv6")
    six = replace(config, host=host, grpc_port=free_port())
    with GatewayKeeper(six, pytest.fail):
        wait_until(lambda: alive(six.url))
        with pytest.raises(PortsBusy), GatewayKeeper(six, pytest.fail):
            pass


def test_it_stops_in_peace_without_work(config: GatewayConfig) -> None:
    with GatewayKeeper(config, pytest.fail) as keeper:
        wait_until(lambda: alive(config.url))
        [process] = gateways()
        handle = psutil.Process(process.pid)
        started = time.monotonic()
        keeper.stop(lambda: False)
        assert time.monotonic() - started < 5
        assert not handle.is_running()


def test_an_urgent_end_does_not_wait(config: GatewayConfig) -> None:
    with GatewayKeeper(config, pytest.fail) as keeper:
        wait_until(lambda: alive(config.url))
        [process] = gateways()
        process.send_signal(signal.SIGSTOP)  # It cannot obey.
        started = time.monotonic()
        keeper.stop(lambda: True)
        assert time.monotonic() - started < 3
    assert gateways() == []


def test_a_taken_port_is_named(config: GatewayConfig) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", config.port))
        listener.listen()
        with pytest.raises(PortsBusy, match=str(config.port)), GatewayKeeper(config, pytest.fail):
            pass


@dataclass(frozen=True)
class Dying(GatewayConfig):
    def command(self) -> list[str]:
        return [sys.executable, "-c", "raise SystemExit(3)"]


@pytest.mark.parametrize(
    ("config", "story"),
    [
        (Dying("127.0.0.1:1", port=free_port()), "The gateway died (exit code 3)."),
        (
            GatewayConfig("127.0.0.1:1", port=free_port(), environment={"TOO_LONG": "x" * 4_000_000}),
            "The gateway cannot be started (Argument list too long).",
        ),
    ],
)
def test_it_gives_up_after_quick_deaths(config: GatewayConfig, story: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_keeper, "MAX_QUICK_DEATHS", 2)
    said: list[str] = []
    with GatewayKeeper(config, said.append) as keeper:

        def gave_up() -> bool:
            try:
                keeper.check()
            except ServerFailed as error:
                return str(error).startswith(f"{story} That was death number 2")
            return False

        wait_until(gave_up)
    assert said == [f"{story} Starting it again in 1 s."]

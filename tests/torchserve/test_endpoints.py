"""Ports: free, busy, told apart."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from whisper_serve.torchserve.endpoints import Endpoints, is_free, on_free_ports
from whisper_serve.torchserve.errors import PortsBusy


def test_free_ports_are_five_and_pass_the_check() -> None:
    endpoints = on_free_ports()
    assert list(endpoints.ports()) == ["inference", "management", "metrics", "grpc", "grpc_management"]
    assert len(set(endpoints.ports().values())) == 5
    endpoints.require_free()


def test_busy_port_is_named(taken_port: int) -> None:
    with pytest.raises(PortsBusy, match=rf"already listens on the port for metrics \({taken_port}\)"):
        replace(on_free_ports(), metrics=taken_port).require_free()


def test_same_port_twice_is_refused() -> None:
    with pytest.raises(PortsBusy, match="Each port must be another one"):
        replace(on_free_ports(), grpc=9, inference=9).require_free()


def test_addresses_of_a_server_that_listens_everywhere_are_reachable() -> None:
    endpoints = Endpoints(host="0.0.0.0", admin_host="10.1.2.3")
    assert endpoints.inference_url == "http://127.0.0.1:8080"
    assert endpoints.grpc_target == "127.0.0.1:7070"
    assert endpoints.management_url == "http://10.1.2.3:8081"
    assert endpoints.metrics_url == "http://10.1.2.3:8082/metrics"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", "::1", "::"])
def test_any_kind_of_address_is_free_until_somebody_listens(host: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip("this machine does not speak IPv6")
        port = listener.getsockname()[1]
        listener.listen()
        assert not is_free(host, port)
    assert is_free(host, port)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_that_is_not_here_is_not_free(host: str) -> None:
    assert not is_free(host, 8080)

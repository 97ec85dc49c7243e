"""Ports: free, busy, told apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from whisper_serve.torchserve.endpoints import Endpoints, on_free_ports
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

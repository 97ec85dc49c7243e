"""Metrics on a port of their own, so that a network policy can tell who reads them from who sends audio."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import start_http_server

from whisper_serve.gateway.metrics import Metrics
from whisper_serve.settings import SettingsError


@contextmanager
def exposed(metrics: Metrics, host: str, port: int) -> Iterator[None]:
    """Serve ``/metrics`` at `host`:`port` from a thread, as long as the context lasts.

    Raises:
        SettingsError: the address cannot be used.
    """
    try:
        server, thread = start_http_server(port, host, metrics.registry)
    except OSError as error:
        raise SettingsError(
            f"metrics cannot listen on {host}:{port} ({error.strerror}): choose another WHISPER_METRICS_PORT, or off"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

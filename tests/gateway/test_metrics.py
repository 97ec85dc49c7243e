"""What is counted, where the whole flow of a request is not needed."""

from __future__ import annotations

from tests.gateway.standin import DIED, backend, in_loop, until
from tests.gateway.test_backend import send
from whisper_serve.gateway.metrics import Metrics
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.gateway.spool import Spool, SpoolSpace


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"whisper_gateway_{name}", labels)


@in_loop
async def test_what_is_on_disk_is_counted_until_it_is_closed() -> None:
    metrics, space = Metrics(), SpoolSpace(1000)
    metrics.spool(space)
    small, large = (Spool(10, space) for _ in range(2))
    await small.write(b"tiny")
    await large.write(b"x" * 8)
    assert value(metrics, "spool_bytes") == 0
    await large.write(b"x" * 8)
    await large.write(b"x")
    assert value(metrics, "spool_bytes") == 17
    assert value(metrics, "spool_free_bytes") == 983
    assert value(metrics, "spool_disk_bytes") == 1000
    for spool in (small, large, large):
        spool.close()
    assert value(metrics, "spool_bytes") == 0


def test_disk_and_limits_are_told() -> None:
    metrics = Metrics()
    metrics.spool(SpoolSpace())
    metrics.limits(GatewaySettings.read({"max_queued_audio_seconds": 60, "live_streams": 3}))
    assert value(metrics, "queue_limit_audio_seconds") == 60
    assert value(metrics, "live_streams_limit") == 3
    free, size = value(metrics, "spool_free_bytes"), value(metrics, "spool_disk_bytes")
    assert free is not None
    assert size is not None
    assert 0 < free <= size


@in_loop
async def test_addresses_and_the_time_of_windows_are_counted() -> None:
    metrics = Metrics()
    model = metrics.of("whisper")
    async with backend() as it:
        it.backend._observer = model
        it.servers[0].failures.append(DIED)
        await send(it)
        await until(lambda: it.backend.ready_addresses == 1)
        assert value(metrics, "addresses_lost_total", model="whisper") == 1
        assert value(metrics, "addresses", model="whisper") == 1
        assert value(metrics, "addresses_ready", model="whisper") == 1
        assert value(metrics, "window_seconds_count", model="whisper") == 1
    model.uploaded(7)
    assert value(metrics, "upload_bytes_total", model="whisper") == 7

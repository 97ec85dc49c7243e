"""Uploads on disk: kept, read again, and what happens when the disk is full."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import httpx
import psutil
import pytest

from tests.gateway.deterministic import serve
from tests.gateway.standin import in_loop
from whisper_serve.gateway.failures import StorageFailed
from whisper_serve.gateway.spool import Spool, SpoolSpace

FULL = Path("/dev/full")
"""A device of Linux to which every write fails as on a full disk."""


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", FULL.open)


@in_loop
async def test_what_is_written_comes_back() -> None:
    for memory in (0, 10, 1000):
        kept = Spool(memory, SpoolSpace())
        for piece in (b"a" * 8, b"b" * 8, b"c" * 8):
            await kept.write(piece)
        kept.rewind()
        assert (kept.file.read(), kept.size) == (b"a" * 8 + b"b" * 8 + b"c" * 8, 24)
        kept.close()


async def write_all(kept: Spool, data: bytes) -> None:
    await kept.write(data)
    kept.rewind()


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("size", [1, 100_000])
def test_a_full_disk_is_told_at_the_latest_at_the_end(size: int) -> None:
    kept = Spool(0, SpoolSpace())
    with pytest.raises(StorageFailed):
        asyncio.run(write_all(kept, bytes(size)))
    kept.close()
    assert kept.file.closed


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("size", [2000, 1_000_000])
def test_callers_are_told_to_come_again(size: int) -> None:
    files = {"file": ("a.wav", b"audio" + bytes(size))}
    with serve(spool_memory_bytes=1000) as served:
        descriptors = psutil.Process().num_fds()
        for _ in range(5):
            answer = httpx.post(f"{served.url}/v1/audio/transcriptions", files=files, trust_env=False)
            assert (answer.status_code, answer.json()["error"]["code"]) == (507, "storage_failed")
            assert "no room" in answer.json()["error"]["message"]
            assert int(answer.headers["retry-after"]) >= 1
        assert psutil.Process().num_fds() <= descriptors + 1
        small = {"file": ("a.wav", b"audio")}
        assert httpx.post(f"{served.url}/v1/audio/transcriptions", files=small, trust_env=False).status_code == 200


def test_uploads_take_no_more_of_the_disk_than_they_may() -> None:
    with serve(spool_memory_bytes=1000, max_spool_bytes=100_000) as served:
        url = f"{served.url}/v1/audio/transcriptions"
        for size, status in ((90_000, 200), (110_000, 507), (90_000, 200)):
            files = {"file": ("a.wav", b"audio" + bytes(size))}
            answer = httpx.post(url, files=files, trust_env=False)
            assert answer.status_code == status
        assert httpx.post(url, files={"file": ("a.wav", b"audio")}, trust_env=False).status_code == 200


def test_what_others_take_is_not_there() -> None:
    space = SpoolSpace(100)
    first, second = Spool(0, space), Spool(0, space)
    asyncio.run(first.write(bytes(60)))
    with pytest.raises(StorageFailed):
        asyncio.run(second.write(bytes(41)))
    asyncio.run(second.write(bytes(40)))
    second.close()
    first.close()
    assert (space.used, space.free) == (0, 100)

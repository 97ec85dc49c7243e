"""The gateway's clock jumps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.trial import Lab
from tests.e2e.stack import Gateway, Stack, is_ready, run_gateway, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


@pytest.fixture
def offset(tmp_path: Path) -> Path:
    """The file that says by how many seconds the gateway's clock is wrong."""
    file = tmp_path / "offset"
    set_clock(file, 0)
    return file


@pytest.fixture
def shifted(stack: Stack, offset: Path) -> Iterator[Gateway]:
    """A gateway whose clock the file sets; as in a real jump, time that only passes is right."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip("needs libfaketime")
    settings = {"FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
    with run_gateway(stack.endpoints.grpc_target, LD_PRELOAD=str(library), **settings) as gateway:
        wait_until(lambda: is_ready(gateway), 60)
        yield gateway


@pytest.mark.parametrize(("name", "hours"), [("a day ahead", 24), ("a day back", -24)])
def test_clock_jumps(lab: Lab, shifted: Gateway, offset: Path, name: str, hours: int) -> None:
    lab.trial(f"the gateway's clock jumps {name}", shifted, partial(set_clock, offset, 3600 * hours))


def set_clock(offset: Path, seconds: int) -> None:
    offset.write_text(f"{seconds:+}\n")

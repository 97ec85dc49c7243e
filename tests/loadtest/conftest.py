"""A real gateway, whose pipeline and model answer by rule."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.deterministic import Served, serve


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with serve() as served:
        yield served

"""The image with Locust: what is in it sends requests, as restricted as a cluster runs it."""

from __future__ import annotations

import pytest

from loadtest.endpoints import ENDPOINTS
from tests.images.building import TAG, build
from tests.images.engine import Engine

IMAGE = f"whisper-serve/loadtest:{TAG}"
pytestmark = [pytest.mark.images, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    build(engine, tmp_path_factory.mktemp("build"), "image-loadtest")
    return IMAGE


def test_it_sends_what_it_brings(engine: Engine, image: str) -> None:
    # Nobody listens there: each request fails, and the run with them.
    script = (
        "python -m loadtest --url http://127.0.0.1:9 --users RestUser --peak 1 --time 2s --reports /tmp/reports 2>&1; "
        "echo exit code $?; ls /tmp/reports"
    )
    out = engine.inside(image, script)
    assert "× no answer" in out
    assert "exit code 1" in out
    assert "results.json" in out


def test_workers_of_several_machines_can_be_started(engine: Engine, image: str) -> None:
    out = engine.inside(image, "locust -f /opt/whisper-serve/loadtest/locustfile.py --list 2>&1")
    assert set(out.split()) >= ENDPOINTS.keys()


def test_user_is_not_root_and_nothing_of_the_servers_is_there(engine: Engine, image: str) -> None:
    look = 'python -c "import $name" 2>/dev/null && echo $name'
    script = f"id -u; type -P java; for name in torch ts pip onnxruntime; do {look}; done"
    assert engine.inside(image, f"({script}) || true") == "10001"

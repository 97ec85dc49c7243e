"""Both images, built, and a container of each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.building import TAG, build
from tests.images.engine import Container, Engine, find_engine
from whisper_serve.engine.weights import Weights
from whisper_serve.engine.weights.files import cache_folder

GATEWAY, TORCHSERVE = (f"whisper-serve/{name}:{TAG}" for name in ("gateway", "torchserve"))


@pytest.fixture(scope="session")
def engine() -> Engine:
    return find_engine()


@pytest.fixture(scope="session")
def built(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `make images` printed."""
    return build(engine, tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="session")
def models(base_weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model cache with the trial model, which others may read."""
    folder = tmp_path_factory.mktemp("models")
    for path in cache_folder(None).glob(f"{base_weights.name}-*.safetensors"):
        shutil.copy(path, folder)
    assert list(folder.iterdir())
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def torchserve(engine: Engine, built: str, models: Path) -> Iterator[Container]:
    """TorchServe with the trial model, healthy."""
    volume = f"--volume={models}:/models:ro"
    with engine.running(TORCHSERVE, volume, weights="trial", workers="1") as container:
        container.wait_healthy(240)
        yield container


@pytest.fixture(scope="module")
def gateway(engine: Engine, built: str, torchserve: Container) -> Iterator[Container]:
    """The gateway before it, healthy."""
    ports = ("--publish=127.0.0.1::8000", "--publish=127.0.0.1::9000")
    with engine.running(GATEWAY, *ports, torchserve_grpc=f"{torchserve.ip}:7070") as container:
        container.wait_healthy(60)
        yield container

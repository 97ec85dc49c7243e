"""What tests of every part share: recordings, the tiny random model and the real base model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tests.tiny import TINY
from whisper_serve.engine import Engine
from whisper_serve.engine.weights import Weights, load_weights
from whisper_serve.evaluation.corpus import Sample, read_corpus

DATA = Path(__file__).parent / "data"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA device")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of our own clips."""
    return DATA


@pytest.fixture(scope="session")
def clips() -> dict[str, Sample]:
    """Our own clips by name, with their transcripts."""
    return {sample.name: sample for sample in read_corpus(DATA)}


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of the larger corpus."""
    folder = os.environ.get("WHISPER_SERVE_CORPUS")
    if not folder:
        pytest.skip("WHISPER_SERVE_CORPUS is not set to a folder of recordings with a manifest.tsv")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_weights() -> Weights:
    """A random model that is sure of what it says, so that rounding changes no choice of a token."""
    from whisper.model import ModelDimensions, Whisper

    generator = torch.Generator().manual_seed(0)
    model = Whisper(ModelDimensions(**TINY.as_dict()))
    for parameter in model.parameters():
        parameter.data = 0.15 * torch.randn(parameter.shape, generator=generator)
    model.decoder.ln.weight.data.fill_(0.6)
    return Weights("tiny-random", TINY, model.state_dict())


@pytest.fixture(scope="session")
def tiny_engine(tiny_weights: Weights) -> Engine:
    return Engine.load(tiny_weights, "cpu", "float32")


@pytest.fixture(scope="session")
def base_weights() -> Weights:
    """The real base model, as trained: fetched once, then read from the cache."""
    return load_weights("trial", progress=False)


@pytest.fixture(scope="session")
def base_engine(base_weights: Weights) -> Engine:
    return Engine.load(base_weights, "cpu", "float32")


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base model as a model archive, alone in its folder."""
    from whisper_serve.torchserve.archive import build_archive

    return build_archive("trial", tmp_path_factory.mktemp("store"))

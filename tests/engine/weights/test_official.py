from __future__ import annotations

import base64
import gzip
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import whisper

from whisper_serve.engine.weights import (
    OFFICIAL_DIMENSIONS,
    CacheUnusable,
    IncompatibleWeights,
    Unreachable,
    Weights,
    WrongHash,
    load_weights,
    save_weights,
)
from whisper_serve.engine.weights.official import official_heads
from whisper_serve.engine.weights.trial import TRIAL

if TYPE_CHECKING:
    from tests.engine.weights.conftest import Server

Publish = Callable[..., None]
WriteCheckpoint = Callable[[Path], str]


@pytest.fixture
def published(server: Server, publish: Publish, write_checkpoint: WriteCheckpoint, tmp_path: Path) -> Server:
    """The tiny model as the official base, on a server."""
    sha256 = write_checkpoint(tmp_path / "original.pt")
    publish("base", server.offer(f"/models/{sha256}/base.pt", (tmp_path / "original.pt").read_bytes()))
    return server


@pytest.mark.parametrize("name", OFFICIAL_DIMENSIONS)
def test_alignment_heads_are_those_of_openai_whisper(name: str) -> None:
    dimensions = OFFICIAL_DIMENSIONS[name]
    mask = np.frombuffer(gzip.decompress(base64.b85decode(whisper._ALIGNMENT_HEADS[name])), dtype=bool)
    rows, columns = mask.reshape(dimensions.n_text_layer, dimensions.n_text_head).nonzero()
    assert official_heads(name) == tuple(zip(rows.tolist(), columns.tolist(), strict=True))
    assert len(official_heads(name)) > 1


def test_fetched_once_then_read_from_the_cache(published: Server, tiny: Weights, tmp_path: Path) -> None:
    for _ in range(2):
        weights = load_weights("base", cache_dir=tmp_path / "cache", progress=False)
        assert (weights.name, weights.dimensions, weights.alignment_heads) == (
            "base",
            tiny.dimensions,
            tiny.alignment_heads,
        )
        assert all(torch.equal(weights.tensors[name], tensor) for name, tensor in tiny.tensors.items())
    assert len(published.requests) == 1
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"base.pt", ".base.pt.lock"}


def test_the_cache_is_the_users_by_default(published: Server, tmp_path: Path) -> None:
    load_weights("base", progress=False)
    assert (tmp_path / "user-cache" / "whisper-serve" / "base.pt").is_file()


def test_a_damaged_cache_file_is_fetched_again(
    published: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_weights("base", cache_dir=tmp_path / "cache", progress=False)
    with (tmp_path / "cache" / "base.pt").open("r+b") as file:
        file.seek(3000)
        file.write(b"x")
    load_weights("base", cache_dir=tmp_path / "cache", progress=False)
    assert len(published.requests) == 2
    assert "base.pt is not used: expected SHA-256" in caplog.text


def test_openai_whispers_own_cache_is_used_if_its_hash_is_right(
    published: Server, write_checkpoint: WriteCheckpoint, tmp_path: Path
) -> None:
    theirs = tmp_path / "user-cache" / "whisper" / "base.pt"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes((tmp_path / "original.pt").read_bytes())
    load_weights("base", cache_dir=tmp_path / "cache", progress=False)
    assert published.requests == []
    theirs.write_bytes(b"other")
    load_weights("base", cache_dir=tmp_path / "cache", progress=False)
    assert len(published.requests) == 1


def test_a_wrong_hash_is_an_error_for_default_too(server: Server, publish: Publish, tmp_path: Path) -> None:
    publish("base", server.offer(f"/models/{'0' * 64}/base.pt", b"an error page"))
    for source in ("base", "default"):
        with pytest.raises(WrongHash, match=f"expected {'0' * 64}, found [0-9a-f]{{64}}"):
            load_weights(source, cache_dir=tmp_path / "cache", progress=False)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".base.pt.lock"]


def test_a_model_of_other_dimensions_than_its_name_promises(
    published: Server, publish: Publish, tmp_path: Path
) -> None:
    publish("base", whisper._MODELS["base"], dimensions=OFFICIAL_DIMENSIONS)
    with pytest.raises(IncompatibleWeights, match="base: expected the dimensions"):
        load_weights("base", cache_dir=tmp_path / "cache", progress=False)


def test_a_cache_that_cannot_be_made(published: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheUnusable, match="cannot be written"):
        load_weights("base", cache_dir=tmp_path / "file" / "cache", progress=False)


def test_default_is_base_where_it_can_be_fetched(published: Server, tmp_path: Path) -> None:
    assert load_weights("default", cache_dir=tmp_path / "cache", progress=False).name == "base"


def test_default_is_trial_where_base_cannot_be_fetched(
    server: Server, publish: Publish, tiny: Weights, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").mkdir()
    save_weights(tiny, tmp_path / "cache" / f"trial-{TRIAL.sha256[:12]}.safetensors")
    with socket.socket() as taken:  # bound, but not listening: the port refuses
        taken.bind(("127.0.0.1", 0))
        refusing = f"http://127.0.0.1:{taken.getsockname()[1]}/{'0' * 64}/base.pt"
        for address in (
            refusing,
            f"{server.address}/{'0' * 64}/base.pt",
        ):  # no server; a server without the file
            publish("base", address)
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                weights = load_weights("default", cache_dir=tmp_path / "cache", progress=False)
            assert weights.name == "tiny-test"
            assert [record.message for record in caplog.records] == [caplog.messages[0]]
            assert "using the trial model" in caplog.messages[0]
            assert address in caplog.messages[0]
            assert "\n" not in caplog.messages[0]
        publish("base", refusing)
        with pytest.raises(Unreachable):
            load_weights("base", cache_dir=tmp_path / "cache", progress=False)

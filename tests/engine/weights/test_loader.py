from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import whisper_serve.engine.weights as weights_package
from whisper_serve.engine.weights import (
    KNOWN_NAMES,
    OFFICIAL_DIMENSIONS,
    SourceNotFound,
    UnknownLayout,
    UnknownModel,
    Weights,
    WeightsError,
    load_weights,
    save_weights,
)


def test_the_known_names() -> None:
    assert set(KNOWN_NAMES) == {"default", "trial", *OFFICIAL_DIMENSIONS}


def test_every_error_is_exported_and_of_the_tree() -> None:
    from whisper_serve.engine.weights import errors

    tree = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert tree <= set(weights_package.__all__)
    assert all(issubclass(getattr(errors, name), WeightsError) for name in tree)
    assert all(f"{name} " in str(errors.__doc__) for name in tree - {"WeightsError"})


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownModel, match=r"'large-v9' is neither.*default, trial, tiny\.en.*turbo, random:NAME"):
        load_weights("large-v9")


@pytest.mark.parametrize("source", ["./base", "models/base", "base.pt", "base.safetensors", Path("base")])
def test_a_path_that_does_not_exist(source: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceNotFound, match="found nothing there"):
        load_weights(source)


def test_a_home_folder_is_expanded(tiny: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save_weights(tiny, tmp_path / "w.safetensors")
    assert load_weights("~/w.safetensors").name == tiny.name


def test_the_content_tells_the_format_not_the_suffix(
    tiny: Weights, write_checkpoint: Callable[[Path], str], tmp_path: Path
) -> None:
    save_weights(tiny, tmp_path / "a.bin")
    assert load_weights(tmp_path / "a.bin").name == "tiny-test"
    write_checkpoint(tmp_path / "b.ckpt")
    assert load_weights(tmp_path / "b.ckpt").name == "b"


@pytest.mark.parametrize("content", [b"", b"text, not weights", b"\x80\x04pickle of something", b"PK"])
def test_a_file_that_is_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(UnknownLayout, match=r"model\.pt: expected a checkpoint"):
        load_weights(tmp_path / "model.pt")


def test_a_folder_without_weights_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownLayout, match=r"expected one of model\.bin, model\.safetensors, .*found nothing"):
        load_weights(tmp_path)
    (tmp_path / "pytorch_model.bin").write_text("")
    with pytest.raises(UnknownLayout, match=r"found pytorch_model\.bin"):
        load_weights(tmp_path)


def test_a_source_may_not_be_a_device(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        load_weights("/dev/null")

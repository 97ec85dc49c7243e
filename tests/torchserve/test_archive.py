"""Building archives, with the smallest model at random weights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from whisper_serve.torchserve.archive import Recipe, WeightsPlace, build, build_archive, is_current
from whisper_serve.torchserve.errors import ArchiveError
from whisper_serve.torchserve.model_archive import read_archive
from whisper_serve.torchserve.resources import resource

TINY = "random:tiny"
# What TorchServe does with an archive, in a process that finds the package nowhere else first.
LOAD = """
import sys
from types import SimpleNamespace

import whisper_handler
import whisper_serve
import yaml

folder = sys.argv[1]
assert whisper_serve.__file__.startswith(folder), whisper_serve.__file__
classes = [each for each in vars(whisper_handler).values() if isinstance(each, type)]
own = [each for each in classes if each.__module__ == "whisper_handler"]
assert len(own) == 1, own
with open(folder + "/model-config.yaml") as file:
    config = yaml.safe_load(file)
own[0]().initialize(SimpleNamespace(model_yaml_config=config, system_properties={"model_dir": folder, "gpu_id": None}))
print("loaded", own[0].__name__)
"""


@pytest.fixture(scope="module")
def tiny_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_archive(TINY, tmp_path_factory.mktemp("store"))


def load_unpacked(archive: Path, folder: Path) -> str:
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("WHISPER_", "PYTHON"))}
    command = [sys.executable, "-c", LOAD, str(folder)]
    answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return answer.stdout + answer.stderr


def test_archive_holds_the_package_and_no_more(tiny_archive: Path) -> None:
    with zipfile.ZipFile(tiny_archive) as archive:
        names = set(archive.namelist())
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert {"whisper_handler.py", "model-config.yaml", "model.safetensors", "build.json"} <= names
    assert {"whisper_serve/wire.py", "whisper_serve/speech/vad.py", "whisper_serve/engine/engine.py"} <= names
    assert not [name for name in names if name.startswith("whisper_serve/torchserve") or "__pycache__" in name]
    assert not [name for name in names if name.startswith(("whisper_serve/cli", "whisper_serve/benchmark"))]


def test_archive_describes_itself(tiny_archive: Path) -> None:
    archive = read_archive(tiny_archive)
    config = yaml.safe_load((resource("handler") / "model-config.yaml").read_text())
    assert (archive.name, archive.version) == ("whisper", "1.0")
    assert archive.settings.batch_size == config["batchSize"]
    assert archive.build["source"] == TINY


def test_archive_loads_in_a_clean_process(tiny_archive: Path, tmp_path: Path) -> None:
    assert load_unpacked(tiny_archive, tmp_path) == "loaded WhisperHandler\n"


def test_external_weights_lie_beside_the_archive(tmp_path: Path) -> None:
    archive = build_archive(TINY, tmp_path / "store", place=WeightsPlace.BESIDE, name="big")
    assert sorted(path.name for path in archive.parent.iterdir()) == ["big.mar", "big.safetensors"]
    assert archive.stat().st_size < 1_000_000
    assert load_unpacked(archive, tmp_path / "unpacked") == "loaded WhisperHandler\n"


def test_weights_that_lie_elsewhere_are_loaded_at_the_start(tmp_path: Path) -> None:
    archive = build_archive(TINY, tmp_path / "store", place=WeightsPlace.ELSEWHERE)
    assert [path.name for path in archive.parent.iterdir()] == ["whisper.mar"]
    assert archive.stat().st_size < 1_000_000
    assert load_unpacked(archive, tmp_path / "unpacked") == "loaded WhisperHandler\n"


def test_weights_that_lie_elsewhere_are_not_read_by_the_build(tmp_path: Path) -> None:
    recipe = Recipe("/models/not/here", tmp_path / "store", place=WeightsPlace.ELSEWHERE)
    build(recipe)
    assert is_current(recipe)


@pytest.fixture
def recipe(tmp_path: Path, tiny_archive: Path) -> Recipe:
    """A recipe with a copy of the handler, already built from a file of weights."""
    handler = Path(shutil.copytree(resource("handler"), tmp_path / "handler"))
    with zipfile.ZipFile(tiny_archive) as archive:
        weights = archive.extract("model.safetensors", tmp_path)
    made = Recipe(weights, tmp_path / "store", handler_dir=handler)
    build(made)
    return made


def test_fresh_archive_is_current(recipe: Recipe) -> None:
    assert is_current(recipe)


def test_changed_handler_makes_the_archive_stale(recipe: Recipe) -> None:
    handler = recipe.handler_folder / "whisper_handler.py"
    handler.write_text(handler.read_text() + "# changed\n")
    assert not is_current(recipe)


def test_changed_settings_make_the_archive_stale(recipe: Recipe) -> None:
    (recipe.handler_folder / "model-config.yaml").write_text("batchSize: 5\n")
    assert not is_current(recipe)


def test_changed_weights_make_the_archive_stale(recipe: Recipe) -> None:
    os.utime(recipe.weights, (1, 1))
    assert not is_current(recipe)


def test_other_model_makes_the_archive_stale(recipe: Recipe) -> None:
    assert not is_current(replace(recipe, weights=TINY))


def test_lost_external_weights_make_the_archive_stale(recipe: Recipe) -> None:
    external = replace(recipe, place=WeightsPlace.BESIDE)
    build(external)
    assert is_current(external)
    external.external_weights.unlink()
    assert not is_current(external)


def test_failed_build_keeps_the_archive_and_leaves_nothing(recipe: Recipe) -> None:
    before = recipe.path.read_bytes()
    with pytest.raises(ArchiveError, match="no-such-model"):
        build(replace(recipe, weights="no-such-model"))
    assert recipe.path.read_bytes() == before
    assert [path.name for path in recipe.output_dir.iterdir()] == ["whisper.mar"]


def test_name_that_is_no_address_is_refused() -> None:
    with pytest.raises(ArchiveError, match=r"not '\.\./x'"):
        Recipe(TINY, Path(), "../x")


def test_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveError, match="cannot be written"):
        build_archive(TINY, tmp_path / "file" / "store")

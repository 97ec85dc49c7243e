"""Building the model archive: handler, this package and weights in one .mar file that stands on its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import yaml

from whisper_serve import __version__
from whisper_serve.torchserve.errors import ArchiveError
from whisper_serve.torchserve.model_archive import BUILD_RECORD, read_archive
from whisper_serve.torchserve.resources import PACKAGE, resource

NAME = "whisper"
MODEL_VERSION = "1.0"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
CONFIG = "model-config.yaml"
HANDLER = "whisper_handler.py"
WEIGHTS = "model.safetensors"
# Parts of the package that no worker needs.
_LEFT_OUT = {
    "__main__.py",
    "__pycache__",
    "_data",
    "benchmark",
    "cli",
    "client",
    "delivery.py",
    "evaluation",
    "gateway",
    "health.py",
    "offline.py",
    "py.typed",
    "remote.py",
    "serving",
    "speech_v1",
    "torchserve",
}


class WeightsPlace(Enum):
    """Where the weights of an archive lie."""

    ARCHIVE = "in it"
    BESIDE = "beside it, in a file that it names by the absolute path"
    ELSEWHERE = "wherever the handler finds them at its start"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an archive is made of.

    `weights` is what load_weights takes, and `place` where they lie; for weights that lie elsewhere they are not read
    now, and it is what the handler loads unless its settings name others. `handler_dir` holds the handler and its
    model-config.yaml; None is our own.
    """

    weights: str
    output_dir: Path
    name: str = NAME
    place: WeightsPlace = WeightsPlace.ARCHIVE
    handler_dir: Path | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ArchiveError(
                f"A model's name is part of addresses: letters, digits, '.', '-' and '_', not {self.name!r}."
            )

    @property
    def path(self) -> Path:
        return self.output_dir / f"{self.name}.mar"

    @property
    def external_weights(self) -> Path:
        return self.output_dir.resolve() / f"{self.name}.safetensors"

    @property
    def handler_folder(self) -> Path:
        return resource("handler") if self.handler_dir is None else self.handler_dir

    def files(self) -> Iterator[tuple[str, Path]]:
        """Each file of the archive that is only copied, under its path in it."""
        for path in sorted(self.handler_folder.glob("*.py")):
            yield path.name, path
        for path in sorted(PACKAGE.rglob("*")):
            inner = path.relative_to(PACKAGE)
            if path.is_file() and not _LEFT_OUT.intersection(inner.parts):
                yield f"{PACKAGE.name}/{inner.as_posix()}", path

    def config(self) -> dict[str, Any]:
        """The handler's model-config.yaml with the place of the weights in it. Raises ArchiveError."""
        path = self.handler_folder / CONFIG
        try:
            config = yaml.safe_load(path.read_text("utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise ArchiveError(f"{path} cannot be read: {error}") from error
        weights = {
            WeightsPlace.ARCHIVE: WEIGHTS,
            WeightsPlace.BESIDE: str(self.external_weights),
            WeightsPlace.ELSEWHERE: self.weights,
        }
        return {**config, "handler": {**(config.get("handler") or {}), "weights": weights[self.place]}}

    def fingerprint(self) -> str:
        """A hash that changes with all that the archive depends on, save what a model's name stands for."""
        state = hashlib.sha256()
        for name, path in self.files():
            state.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
        tools = [__version__, installed_version("torch-model-archiver")]
        state.update(json.dumps([tools, self.config(), _source_state(self.weights)]).encode())
        return state.hexdigest()


def build_archive(
    weights_source: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    place: WeightsPlace = WeightsPlace.ARCHIVE,
    name: str = NAME,
    report: Callable[[str], None] = lambda _line: None,
) -> Path:
    """Build ``output_dir/name.mar``; an archive already there is replaced when the new one is whole.

    `report` gets a line for each step. Raises ArchiveError.
    """
    recipe = Recipe(os.fspath(weights_source), Path(output_dir), name, place)
    build(recipe, report)
    return recipe.path


def is_current(recipe: Recipe) -> bool:
    """True when the archive is there and was made by the same recipe from the same files."""
    try:
        made = read_archive(recipe.path).build.get("fingerprint")
    except ArchiveError:
        return False
    has_weights = recipe.place is not WeightsPlace.BESIDE or recipe.external_weights.is_file()
    return has_weights and made == recipe.fingerprint()


def build(recipe: Recipe, report: Callable[[str], None] = lambda _line: None) -> None:
    """Build the recipe's archive. Raises ArchiveError."""
    try:
        recipe.output_dir.mkdir(parents=True, exist_ok=True)
        # Beside the result: on the same file system, so that the last step is one rename, and never in memory.
        with tempfile.TemporaryDirectory(dir=recipe.output_dir, prefix=".build-") as folder:
            content, packed = Path(folder, "content"), Path(folder, "packed")
            content.mkdir()
            packed.mkdir()
            _write_code(recipe, content)
            _write_record(recipe, content, _write_weights(recipe, content, report))
            report(f"Packing {recipe.path}")
            pack(recipe.name, content, packed)
            (packed / recipe.path.name).replace(recipe.path)
    except OSError as error:
        raise ArchiveError(f"The archive {recipe.path} cannot be written: {error}") from error


def _write_weights(recipe: Recipe, content: Path, report: Callable[[str], None]) -> str:
    """Save the weights as our own file, in or beside the archive unless they lie elsewhere, and tell their name."""
    if recipe.place is WeightsPlace.ELSEWHERE:
        return recipe.weights
    from whisper_serve.engine.weights import WeightsError, load_weights, save_weights

    report(f"Loading the weights {recipe.weights}")
    target = content / WEIGHTS if recipe.place is WeightsPlace.ARCHIVE else recipe.external_weights
    try:
        weights = load_weights(recipe.weights)
        save_weights(weights, target)
    except WeightsError as error:
        raise ArchiveError(str(error)) from error
    return str(weights.name)


def _write_code(recipe: Recipe, content: Path) -> None:
    for name, path in recipe.files():
        target = content / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    text = yaml.safe_dump(recipe.config(), sort_keys=False, allow_unicode=True)
    (content / CONFIG).write_text(text, "utf-8")


def _write_record(recipe: Recipe, content: Path, weights_name: str) -> None:
    record = {
        "fingerprint": recipe.fingerprint(),
        "source": recipe.weights,
        "weights": weights_name,
        "whisper_serve": __version__,
    }
    (content / BUILD_RECORD).write_text(json.dumps(record, indent=2) + "\n", "utf-8")


def pack(name: str, content: Path, packed: Path) -> None:
    """Make ``packed/name.mar`` of the folder `content`, which holds HANDLER, CONFIG and what they need.

    Uses torch-model-archiver's own functions. Its command would first copy everything once more, into a folder of the
    temporary folder that is named after the model: two builds at once would mix, and the weights may be larger than
    that folder's file system. Raises ArchiveError.
    """
    from model_archiver.model_archiver_config import ModelArchiverConfig
    from model_archiver.model_archiver_error import ModelArchiverError
    from model_archiver.model_packaging_utils import ModelExportUtils

    config = ModelArchiverConfig(name, HANDLER, MODEL_VERSION, config_file=CONFIG)
    try:
        ModelExportUtils.validate_inputs(name, str(packed))
        manifest = ModelExportUtils.generate_manifest_json(config)
        # zip-store: weights do not deflate, and TorchServe unpacks the archive at each start.
        ModelExportUtils.archive(str(packed), name, str(content), manifest, "zip-store")
    except ModelArchiverError as error:
        raise ArchiveError(f"torch-model-archiver refused the model {name}: {error}") from error


def _source_state(source: str) -> list[object]:
    """What tells whether the weights behind a source have changed: for a path its files' sizes and times."""
    path = Path(source).expanduser()
    if not path.exists():
        return [source]
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    return [source, *([str(each), each.stat().st_size, each.stat().st_mtime_ns] for each in files)]

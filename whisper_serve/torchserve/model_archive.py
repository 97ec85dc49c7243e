"""Reading a built archive: its name, version and the TorchServe part of its configuration."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from whisper_serve.torchserve.errors import ArchiveError

MANIFEST = "MAR-INF/MANIFEST.json"
BUILD_RECORD = "build.json"


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How TorchServe runs a model: the keys of model-config.yaml's top level that `serve` can override."""

    workers: int
    batch_size: int
    max_batch_delay_ms: int
    response_timeout_s: int
    startup_timeout_s: int


@dataclass(frozen=True, slots=True)
class ModelArchive:
    """What an archive says of itself.

    `build` is the record the builder left in it, empty in an archive that something else made.
    """

    path: Path
    name: str
    version: str
    settings: WorkerSettings
    build: Mapping[str, Any]


def read_archive(path: Path) -> ModelArchive:
    """Read an archive's description without unpacking it. Raises ArchiveError."""
    try:
        with zipfile.ZipFile(path) as archive:
            model = json.loads(archive.read(MANIFEST))["model"]
            config = yaml.safe_load(archive.read(model["configFile"])) if "configFile" in model else {}
            has_record = BUILD_RECORD in archive.namelist()
            build = json.loads(archive.read(BUILD_RECORD)) if has_record else {}
        return ModelArchive(
            path,
            str(model["modelName"]),
            str(model.get("modelVersion", "1.0")),
            worker_settings(config),
            build,
        )
    except FileNotFoundError as error:
        raise ArchiveError(f"There is no model archive {path}: build it with `whisper-serve build`.") from error
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, yaml.YAMLError) as error:
        raise ArchiveError(f"{path} is not a TorchServe model archive: {error}.") from error


def worker_settings(config: Mapping[str, Any]) -> WorkerSettings:
    """The worker settings of a model-config.yaml; what it does not say is TorchServe's default."""
    return WorkerSettings(
        workers=int(config.get("minWorkers", 1)),
        batch_size=int(config.get("batchSize", 1)),
        max_batch_delay_ms=int(config.get("maxBatchDelay", 100)),
        response_timeout_s=int(config.get("responseTimeout", 120)),
        startup_timeout_s=int(config.get("startupTimeout", 120)),
    )

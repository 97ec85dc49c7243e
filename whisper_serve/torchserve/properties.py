"""Rendering TorchServe's config.properties for one run."""

from __future__ import annotations

import json
from collections.abc import Mapping

from whisper_serve.torchserve.endpoints import Endpoints
from whisper_serve.torchserve.model_archive import ModelArchive
from whisper_serve.torchserve.resources import resource


def render_properties(archive: ModelArchive, endpoints: Endpoints, *, use_gpu: bool = True) -> str:
    """The text of config.properties: model_store/config.properties, then what holds for this run only.

    A later line wins over an earlier one of the same key.
    """
    template = resource("model_store/config.properties").read_text("utf-8")
    values = _values(archive, endpoints)
    if not use_gpu:
        values["number_of_gpu"] = "0"
    lines = [f"{key}={escape(value)}" for key, value in values.items()]
    return "\n".join([template, "# For this run:", *lines, ""])


def _values(archive: ModelArchive, endpoints: Endpoints) -> dict[str, str]:
    return {
        "inference_address": f"http://{endpoints.host}:{endpoints.inference}",
        "management_address": f"http://{endpoints.admin_host}:{endpoints.management}",
        "metrics_address": f"http://{endpoints.metrics_address}:{endpoints.metrics}",
        "grpc_inference_address": endpoints.host,
        "grpc_inference_port": str(endpoints.grpc),
        "grpc_management_address": endpoints.admin_host,
        "grpc_management_port": str(endpoints.grpc_management),
        "model_store": str(archive.path.parent.resolve()),
        "metrics_config": str(resource("model_store/metrics.yaml")),
        "model_snapshot": json.dumps(_snapshot(archive)),
    }


def _snapshot(archive: ModelArchive) -> Mapping[str, object]:
    """The model to load, as TorchServe itself writes its state down.

    Of the ways to name a model at start it is the only one whose numbers win over those in the archive's
    model-config.yaml, and so the one that lets a run choose its workers without building the archive again.
    """
    settings = archive.settings
    model = {
        "defaultVersion": True,
        "marName": archive.path.name,
        "minWorkers": settings.workers,
        "maxWorkers": settings.workers,
        "batchSize": settings.batch_size,
        "maxBatchDelay": settings.max_batch_delay_ms,
        "responseTimeout": settings.response_timeout_s,
        "startupTimeout": settings.startup_timeout_s,
    }
    return {"name": "start", "modelCount": 1, "models": {archive.name: {archive.version: model}}}


def escape(value: str) -> str:
    """A value as java.util.Properties reads it: ASCII as it is, all else as UTF-16 code units in hex."""
    return "".join(_escape(character) for character in value)


def _escape(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if " " <= character <= "~":
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))

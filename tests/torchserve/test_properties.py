"""The rendered config.properties. That Java reads it so is tested by test_server, with such paths."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from whisper_serve.torchserve.endpoints import Endpoints
from whisper_serve.torchserve.model_archive import ModelArchive, WorkerSettings
from whisper_serve.torchserve.properties import escape, render_properties
from whisper_serve.torchserve.resources import resource

ARCHIVE = ModelArchive(Path("/store/whisper.mar"), "whisper", "1.0", WorkerSettings(2, 16, 20, 60, 90), {})


def properties(
    archive: ModelArchive = ARCHIVE, endpoints: Endpoints | None = None, *, use_gpu: bool = True
) -> dict[str, str]:
    text = render_properties(archive, endpoints or Endpoints(), use_gpu=use_gpu)
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_values_are_escaped() -> None:
    assert escape("plain = {value}:") == "plain = {value}:"
    assert escape("mödel\\模𝄞\n") == r"m\u00f6del\\\u6a21\ud834\udd1e\u000a"


def test_template_is_loopback_only_and_has_no_tokens() -> None:
    text = resource("model_store/config.properties").read_text()
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    addresses = [value for key, value in values.items() if key.endswith("_address")]
    assert len(addresses) == 5
    assert all("127.0.0.1" in address for address in addresses)
    assert values["max_request_size"] == values["max_response_size"] == str(100 * 1024 * 1024)
    assert values["disable_token_authorization"] == "true"


def test_run_goes_over_the_template() -> None:
    values = properties(endpoints=replace(Endpoints(), host="0.0.0.0", inference=1, grpc=2, metrics=3))
    assert values["inference_address"] == "http://0.0.0.0:1"
    assert (values["grpc_inference_address"], values["grpc_inference_port"]) == ("0.0.0.0", "2")
    assert values["metrics_address"] == "http://127.0.0.1:3"
    assert values["management_address"] == "http://127.0.0.1:8081"


def test_model_has_the_numbers_of_the_run() -> None:
    model = json.loads(properties()["model_snapshot"])["models"]["whisper"]["1.0"]
    assert model == {
        "defaultVersion": True,
        "marName": "whisper.mar",
        "minWorkers": 2,
        "maxWorkers": 2,
        "batchSize": 16,
        "maxBatchDelay": 20,
        "responseTimeout": 60,
        "startupTimeout": 90,
    }


def test_gpus_are_hidden_on_request() -> None:
    assert "number_of_gpu" not in properties()
    assert properties(use_gpu=False)["number_of_gpu"] == "0"

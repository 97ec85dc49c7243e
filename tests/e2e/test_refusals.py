"""Refusals as OpenAI's SDK raises them: keys, one client's share, no model. Gateways of their own, one TorchServe."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.recordings import JFK
from tests.e2e.stack import COMMAND, Stack, is_ready, run_gateway, wait_until
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.torchserve.endpoints import on_free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.weights]


def make_key(file: Path) -> str:
    """A new key, as the command prints it."""
    command = [*COMMAND, "keys", "add", "--keys-file", str(file), "a notebook"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]


def test_keys_and_shares(stack: Stack, clips: dict[str, Sample], jfk: bytes, tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    key, other = make_key(file), make_key(file)
    limits = {"WHISPER_MAX_REQUESTS_PER_CLIENT": "1", "WHISPER_WINDOWS_PER_REQUEST": "1"}
    with run_gateway(stack.endpoints.grpc_target, WHISPER_KEYS_FILE=str(file), **limits) as gateway:
        wait_until(lambda: is_ready(gateway), 30)
        for wrong in ("none", key[:-1]):
            with gateway.sdk_with(wrong) as sdk, pytest.raises(openai.AuthenticationError, match="key"):
                transcribe(sdk, jfk)
        with gateway.sdk_with(key) as sdk, gateway.sdk_with(other) as others:
            assert transcribe(sdk, jfk).text == JFK
            # Its windows are sent one by one: after the first text there is more to do.
            reading = clips["de-librivox-simplicissimus.ogg"].path.read_bytes()
            with transcribe(sdk, reading, stream=True) as events:
                next(iter(events))
                with pytest.raises(openai.RateLimitError, match="too many of your requests") as caught:
                    transcribe(sdk, jfk)
                assert int(caught.value.response.headers["retry-after"]) >= 1
                assert transcribe(others, jfk).text == JFK


def test_no_model(jfk: bytes) -> None:
    with run_gateway(on_free_ports().grpc_target, WHISPER_HOLD_SECONDS="0.5") as gateway:
        assert not is_ready(gateway)
        with pytest.raises(openai.InternalServerError, match="the model 'whisper' is not ready") as caught:
            transcribe(gateway.sdk, jfk)
        assert caught.value.status_code == 503
        assert int(caught.value.response.headers["retry-after"]) >= 1


def transcribe(sdk: openai.OpenAI, content: bytes, **fields: Any) -> Any:
    return sdk.audio.transcriptions.create(model="whisper-1", file=("clip", content), **fields)

"""The whole way once, and what its answers may be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from whisper_serve.torchserve.demonstration import demonstrate, transcript_text
from whisper_serve.torchserve.errors import RequestFailed
from whisper_serve.torchserve.server import ServerConfig

# Tells apart what came over REST, as the body, and over gRPC, as a part.
TELLING = """
import json

class Telling:
    def initialize(self, context):
        pass

    def handle(self, data, context):
        return [json.dumps({"text": " ".join(f"{key}:{len(value)}" for key, value in row.items())}) for row in data]
"""


@pytest.mark.e2e
def test_both_ways_are_taken(pack_handler: Callable[..., Path], configure: Callable[..., ServerConfig]) -> None:
    said: list[str] = []
    texts = demonstrate(configure(pack_handler(TELLING)), b"12345", said.append)
    assert texts == {"REST": "body:5", "gRPC": "file:5"}
    assert said[0] == "Starting TorchServe"
    assert said[1].startswith("Ready after")


def test_text_of_an_answer() -> None:
    assert transcript_text(b'{"text": " some words "}') == "some words"


@pytest.mark.parametrize("answer", [b"no json", b"[]", b'{"error": {"message": "no words"}}'])
def test_other_answers_are_errors(answer: bytes) -> None:
    with pytest.raises(RequestFailed, match="answer"):
        transcript_text(answer)

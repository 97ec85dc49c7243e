"""The whole way once: start a server, send one recording over REST and over gRPC, stop the server."""

from __future__ import annotations

import json
from collections.abc import Callable

from whisper_serve.torchserve.client import GrpcClient, RestClient
from whisper_serve.torchserve.errors import RequestFailed, ServerFailed
from whisper_serve.torchserve.server import ServerConfig, TorchServe
from whisper_serve.torchserve.supervisor import StopRequest


def demonstrate(config: ServerConfig, audio: bytes, say: Callable[[str], None]) -> dict[str, str]:
    """The text of `audio` under the name of each way it was sent.

    Raises ServerFailed, RequestFailed and what TorchServe's entry raises.
    """
    with StopRequest() as stopping, TorchServe(config) as server:
        say("Starting TorchServe")
        if not server.wait_ready(stopping):
            raise ServerFailed("Interrupted.")
        say(f"Ready after {server.seconds:.1f} s")
        with RestClient(server.predictions_url) as rest:
            over_rest = rest.predict(audio).body
        with GrpcClient(config.endpoints.grpc_target, server.archive.name) as grpc:
            over_grpc = grpc.predict(audio)
    return {"REST": transcript_text(over_rest), "gRPC": transcript_text(over_grpc)}


def transcript_text(answer: bytes) -> str:
    """The text of a JSON transcript. Raises RequestFailed with the message of an error."""
    try:
        content = json.loads(answer)
    except ValueError as error:
        raise RequestFailed(f"The server's answer is not JSON: {answer[:200]!r}") from error
    if not isinstance(content, dict) or "text" not in content:
        raise RequestFailed(f"The server answered without a text: {answer[:500].decode(errors='replace')}")
    return str(content["text"]).strip()

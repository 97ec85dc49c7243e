"""What to try when a server is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisper_serve.serving.gateway_process import GatewayConfig
    from whisper_serve.torchserve.endpoints import Endpoints


def gateway_hints(gateway: GatewayConfig, endpoints: Endpoints) -> tuple[str, ...]:
    """A request with curl, one with OpenAI's SDK, and one over gRPC."""
    url = gateway.url
    header = ' -H "Authorization: Bearer $OPENAI_API_KEY"' if gateway.keys else ""
    key = "" if gateway.keys else ', api_key="none"'
    target = gateway.grpc_target
    grpc = ("Or over gRPC:", f"  whisper-serve transcribe --url grpc://{target} recording.mp3") if target else ()
    return (
        "Try it:",
        f"  curl {url}/v1/audio/transcriptions{header} -F file=@recording.mp3 -F model=whisper-1",
        "Or with OpenAI's SDK:",
        "  from openai import OpenAI",
        f'  client = OpenAI(base_url="{url}/v1"{key})',
        '  print(client.audio.transcriptions.create(model="whisper-1", file=open("recording.mp3", "rb")).text)',
        *grpc,
        f"Docs: {url}/docs   Metrics: {url}/metrics, {endpoints.metrics_url}   Stop: Ctrl-C",
    )


def direct_hints(endpoints: Endpoints, model: str) -> tuple[str, ...]:
    """Requests to TorchServe itself."""
    url = f"{endpoints.inference_url}/predictions/{model}"
    return (
        "Try it:",
        f"  curl -T recording.mp3 {url}",
        f"  curl -F file=@recording.mp3 -F response_format=srt {url}",
        f"Metrics: {endpoints.metrics_url}   Stop: Ctrl-C",
    )
